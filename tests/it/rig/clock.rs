//! Time: a virtual clock that moves only when a test advances it, and a watchdog in real time for
//! everything else.
//!
//! Tokio's paused clock jumps ahead whenever all tasks wait, even while bytes are on their way
//! through a real socket. An idle blocking task prevents that: while [`VirtualClock`] lives, time
//! stands still between calls of [`VirtualClock::advance`].

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Maximum real time for any wait before its test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// First step of the virtual clock …
const FIRST_STEP: Duration = Duration::from_millis(20);
/// … and its largest step: timers must fire in order, with all input processed in between.
const STEP: Duration = Duration::from_millis(500);

/// A tick ten times a second, from a thread outside any runtime.
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

/// Waits for `work`; panics with `what` after `PATIENCE` of real time.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut ticks = TICKS.subscribe();
    let begun = Instant::now();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            value = &mut work => return value,
            _ = ticks.changed() => assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}"),
        }
    }
}

thread_local! {
    /// True if a failure was already reported on this thread; each test has its own.
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// Prints on failure which of many cases failed.
pub struct Case(String);

impl Case {
    /// Marks the code until its drop as this case.
    pub fn new(what: impl std::fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        // The case dropped first is the one that failed; outer ones are only unwound with it.
        if thread::panicking() && !FAILED.replace(true) {
            println!("failed case: {}", self.0);
        }
    }
}

/// Runs everything that can happen without time passing.
pub async fn settle() {
    let begun = Instant::now();
    let mut turns = 0;
    while turns < 48 || begun.elapsed() < Duration::from_micros(400) {
        tokio::task::yield_now().await;
        turns += 1;
    }
}

/// The virtual clock of the current runtime. Only [`VirtualClock::advance`] moves it.
pub struct VirtualClock {
    _hold: mpsc::Sender<()>,
}

impl VirtualClock {
    /// Stops the clock. The runtime must be a current-thread one.
    pub fn start() -> Self {
        tokio::time::pause();
        let (hold, held) = mpsc::channel::<()>();
        drop(tokio::task::spawn_blocking(move || held.recv()));
        Self { _hold: hold }
    }

    /// Advances time in small steps, running everything that becomes ready on the way.
    pub async fn advance(&self, time: Duration) {
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
