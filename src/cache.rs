//! A value that is fetched and renewed: the credentials of a provider, the keys of a signer.
//!
//! Invariants:
//! - Any number of concurrent callers cause one fetch.
//! - A fetch does not belong to a caller that waits for it, so no caller can stop it.
//! - A valid value is returned without waiting, also during a fetch.
//! - Between two fetches lies the interval of the [`Policy`], and after a failure its pause, which
//!   doubles with each further one.
//! - No lock is held across an await.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// A value discarded within this time after its fetch counts as no better than the previous one.
const EARLY_DISCARD: Duration = Duration::from_secs(60);

/// The times between fetches.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Minimum time from the start of a fetch to the start of the next one.
    pub interval: Duration,
    /// Pause after the first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// Maximum pause: a repaired source is used after this time.
    pub max_pause: Duration,
}

/// The result of a fetch.
#[derive(Debug)]
pub struct Fetched<T> {
    /// The value.
    pub value: Arc<T>,
    /// Time from now on after which it is fetched again.
    pub renew_after: Duration,
    /// Time from now on for which it is valid; `None` if it does not expire.
    pub valid_for: Option<Duration>,
}

/// The reason why there is no valid value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable<E> {
    /// The error of the last fetch; `None` if the runtime of the fetch was stopped.
    pub error: Option<E>,
    /// Time after which the next fetch may start.
    pub retry_after: Duration,
}

/// A cache of one value, shared by all workers.
#[derive(Debug)]
pub struct RenewingCache<T, E> {
    policy: Policy,
    state: Mutex<State<T, E>>,
}

#[derive(Debug)]
struct State<T, E> {
    cached: Option<Cached<T>>,
    flight: Option<Flight<T, E>>,
    /// Number of consecutive failed fetches.
    failures: u32,
    /// Number of consecutive values that were discarded soon after their fetch.
    discards: u32,
    /// Time before which no fetch starts.
    paused_until: Option<Instant>,
    /// The error that caused the pause.
    error: Option<E>,
}

#[derive(Debug)]
struct Cached<T> {
    value: Arc<T>,
    fetched: Instant,
    renew_at: Instant,
    expires: Option<Instant>,
}

type Outcome<T, E> = Result<Arc<T>, E>;

/// A fetch in progress; `None` until it is complete.
type Flight<T, E> = watch::Receiver<Option<Outcome<T, E>>>;

/// The result of a look-up.
enum LookupResult<T, E> {
    Valid(Arc<T>),
    Unavailable(Unavailable<E>),
    Pending(Flight<T, E>),
}

impl<T, E> RenewingCache<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Creates an empty cache. Nothing is fetched yet.
    #[must_use]
    pub fn new(policy: Policy) -> Arc<Self> {
        Arc::new(Self {
            policy,
            state: Mutex::new(State {
                cached: None,
                flight: None,
                failures: 0,
                discards: 0,
                paused_until: None,
                error: None,
            }),
        })
    }

    /// Returns the cached value, if it is valid.
    #[must_use]
    pub fn current(&self) -> Option<Arc<T>> {
        self.state.lock().valid(Instant::now())
    }

    /// Returns the cached value if it is valid, otherwise the result of `fetch`. A started fetch
    /// runs to its end on the runtime of the caller.
    ///
    /// # Errors
    /// Returns the error of the last fetch when no valid value is cached.
    pub async fn get<F>(
        self: &Arc<Self>,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, Unavailable<E>>
    where
        F: Future<Output = Result<Fetched<T>, E>> + Send + 'static,
    {
        // The guard of the lock ends with the call, before the await.
        let result = self.look_up(fetch);
        let flight = match result {
            LookupResult::Valid(value) => return Ok(value),
            LookupResult::Unavailable(why) => return Err(why),
            LookupResult::Pending(flight) => flight,
        };
        let error = match landed(flight).await {
            Some(Ok(value)) => return Ok(value),
            Some(Err(error)) => Some(error),
            None => None,
        };
        let retry_after = self.state.lock().pause(Instant::now());
        Err(Unavailable { error, retry_after })
    }

    /// Starts a fetch if the value is due, without waiting for it.
    pub fn prefetch<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F)
    where
        F: Future<Output = Result<Fetched<T>, E>> + Send + 'static,
    {
        // The fetch runs in a task of its own.
        drop(self.look_up(fetch));
    }

    /// Returns a valid value other than `than`. Fetches it if necessary, also if `than` is not due.
    pub async fn other<F>(
        self: &Arc<Self>,
        than: &Arc<T>,
        fetch: impl FnOnce() -> F,
    ) -> Option<Arc<T>>
    where
        F: Future<Output = Result<Fetched<T>, E>> + Send + 'static,
    {
        let is_other = |value: &Arc<T>| !Arc::ptr_eq(value, than);
        let flight = {
            let now = Instant::now();
            let mut state = self.state.lock();
            if let Some(value) = state.valid(now).filter(is_other) {
                return Some(value);
            }
            self.start_or_join(&mut state, now, fetch)?
        };
        landed(flight).await;
        self.current().filter(is_other)
    }

    /// Removes a value that turned out to be useless; the next caller fetches another. If several
    /// fetched values in a row are discarded soon, a pause comes first, and `error` is its reason.
    pub fn discard(&self, value: &Arc<T>, error: E) {
        let now = Instant::now();
        let mut state = self.state.lock();
        // A late verdict on an older value says nothing about the current one.
        let Some(cached) = state
            .cached
            .take_if(|cached| Arc::ptr_eq(&cached.value, value))
        else {
            return;
        };
        state.discards = if now < cached.fetched + EARLY_DISCARD {
            state.discards.saturating_add(1)
        } else {
            1
        };
        // The first one leads to a new fetch at once; only a series is slowed down.
        if state.discards > 1 {
            let pause = self.policy.pause(state.discards - 1);
            state.pause_until(now + pause, error);
        }
    }

    fn look_up<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F) -> LookupResult<T, E>
    where
        F: Future<Output = Result<Fetched<T>, E>> + Send + 'static,
    {
        let now = Instant::now();
        let mut state = self.state.lock();
        let valid = state.valid(now);
        let is_due = state
            .cached
            .as_ref()
            .is_none_or(|cached| now >= cached.renew_at);
        let flight = if is_due || valid.is_none() {
            self.start_or_join(&mut state, now, fetch)
        } else {
            None
        };
        match (valid, flight) {
            (Some(value), _) => LookupResult::Valid(value),
            (None, Some(flight)) => LookupResult::Pending(flight),
            (None, None) => LookupResult::Unavailable(Unavailable {
                error: state.error.clone(),
                retry_after: state.pause(now),
            }),
        }
    }

    /// Returns the fetch in progress, or starts one unless there is a pause.
    fn start_or_join<F>(
        self: &Arc<Self>,
        state: &mut State<T, E>,
        now: Instant,
        fetch: impl FnOnce() -> F,
    ) -> Option<Flight<T, E>>
    where
        F: Future<Output = Result<Fetched<T>, E>> + Send + 'static,
    {
        if let Some(flight) = state.in_flight() {
            return Some(flight);
        }
        if !state.pause(now).is_zero() {
            return None;
        }
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        // Set now, in case the runtime of the fetch is stopped.
        (state.paused_until, state.error) = (Some(now + self.policy.interval), None);
        let (cache, fetch) = (self.clone(), fetch());
        // In a separate task: it goes on when the caller that started it is dropped.
        tokio::spawn(async move {
            let outcome = cache.complete(now, fetch.await);
            sender.send_replace(Some(outcome));
        });
        Some(flight)
    }

    fn complete(&self, started: Instant, fetched: Result<Fetched<T>, E>) -> Outcome<T, E> {
        let now = Instant::now();
        let next = started + self.policy.interval;
        let mut state = self.state.lock();
        state.flight = None;
        match fetched {
            Ok(fetched) => {
                let value = fetched.value.clone();
                state.cached = Some(Cached {
                    value: fetched.value,
                    fetched: now,
                    renew_at: now + fetched.renew_after,
                    expires: fetched.valid_for.map(|time| now + time),
                });
                // `discards` stays: only its users can tell whether the new value is better.
                (state.failures, state.paused_until, state.error) = (0, Some(next), None);
                Ok(value)
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let pause = self.policy.pause(state.failures);
                state.pause_until(next.max(now + pause), error.clone());
                Err(error)
            }
        }
    }
}

impl<T, E> State<T, E> {
    fn valid(&self, now: Instant) -> Option<Arc<T>> {
        let cached = self.cached.as_ref()?;
        cached
            .expires
            .is_none_or(|expires| now < expires)
            .then(|| cached.value.clone())
    }

    fn in_flight(&self) -> Option<Flight<T, E>> {
        self.flight
            .clone()
            // An error means that the sender is gone: the runtime of the fetch was stopped.
            .filter(|flight| flight.has_changed().is_ok())
    }

    /// Returns the time until a fetch may start.
    fn pause(&self, now: Instant) -> Duration {
        self.paused_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn pause_until(&mut self, until: Instant, error: E) {
        (self.paused_until, self.error) = (Some(until), Some(error));
    }
}

impl Policy {
    /// Returns the pause after the `nth` consecutive failure.
    fn pause(&self, nth: u32) -> Duration {
        let pause = self
            .first_pause
            .saturating_mul(1 << nth.saturating_sub(1).min(8));
        jitter(pause.min(self.max_pause))
    }
}

/// Waits until a fetch is complete; `None` if it never will be.
async fn landed<T, E: Clone>(mut flight: Flight<T, E>) -> Option<Outcome<T, E>> {
    flight
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|outcome| outcome.clone())
}

/// Shortens a time by a random amount of up to 10 %, so that instances that started together do not
/// fetch together.
#[must_use]
pub fn jitter(time: Duration) -> Duration {
    // Without randomness, use the whole time: later, but not wrong.
    let random = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
    time.mul_f64(0.9 + random / 10.0)
}

#[cfg(test)]
mod tests;
