//! Time: a virtual clock that only moves when a test says so, and a watchdog in real time for
//! everything else.
//!
//! Tokio's paused clock jumps ahead whenever all tasks wait, also when bytes are on their way
//! through a real socket. A blocking task that does nothing keeps it from doing so: while
//! [`Virtual`] lives, time stands still between calls of [`Virtual::pass`].

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long anything may take in real time before its test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// How far the virtual clock moves at first …
const FIRST_STEP: Duration = Duration::from_millis(20);
/// … and at most at a time, so that timers fire in their order with all input in between.
const STEP: Duration = Duration::from_millis(500);

/// A tick ten times a second, from outside any runtime.
static TICKS: LazyLock<watch::Sender<()>> = LazyLock::new(|| {
    let ticks = watch::Sender::new(());
    let sender = ticks.clone();
    thread::spawn(move || {
        loop {
            thread::park_timeout(Duration::from_millis(100));
            sender.send_replace(());
        }
    });
    ticks
});

/// Waits for `work`, and fails saying `what` was waited for when it takes too long in real time.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut ticks = TICKS.subscribe();
    let begun = Instant::now();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            value = &mut work => return value,
            _ = ticks.changed() => assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}"),
        }
    }
}

thread_local! {
    /// A failure was already told of on this thread, which is one test's.
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// Says on failure which of many cases it was.
pub struct Scene(String);

impl Scene {
    /// What follows, until it is dropped, is this case.
    pub fn of(what: impl std::fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The first to be dropped is the one that failed; others are only taken down with it.
        if thread::panicking() && !FAILED.replace(true) {
            println!("it failed with: {}", self.0);
        }
    }
}

/// Lets everything that can happen without time passing happen.
pub async fn settle() {
    let begun = Instant::now();
    let mut turns = 0;
    while turns < 48 || begun.elapsed() < Duration::from_micros(400) {
        tokio::task::yield_now().await;
        turns += 1;
    }
}

/// The virtual clock of the current runtime. It stands still but for [`Virtual::pass`].
pub struct Virtual {
    _hold: mpsc::Sender<()>,
}

impl Virtual {
    /// Stops the clock. The runtime must be a current-thread one.
    pub fn start() -> Self {
        tokio::time::pause();
        let (hold, held) = mpsc::channel::<()>();
        drop(tokio::task::spawn_blocking(move || held.recv()));
        Self { _hold: hold }
    }

    /// Lets this much time pass, in small steps, everything that happens on the way included.
    pub async fn pass(&self, time: Duration) {
        let mut left = time;
        let mut step = FIRST_STEP;
        settle().await;
        while !left.is_zero() {
            step = step.min(left);
            tokio::time::advance(step).await;
            settle().await;
            left -= step;
            step = (step * 2).min(STEP);
        }
    }

    /// Waits for `work` while at most this much virtual time passes.
    pub async fn takes_at_most<T>(
        &self,
        time: Duration,
        what: &str,
        work: impl Future<Output = T>,
    ) -> T {
        let begun = tokio::time::Instant::now();
        let mut work = pin!(work);
        let mut step = FIRST_STEP;
        while begun.elapsed() < time {
            tokio::select! {
                biased;
                value = &mut work => return value,
                () = settle() => {}
            }
            tokio::time::advance(step.min(time - begun.elapsed())).await;
            step = (step * 2).min(STEP);
        }
        within(&format!("{what}, in {time:?} of virtual time"), work).await
    }
}
