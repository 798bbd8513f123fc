//! Caches the last fetched secret for all workers.
//!
//! Invariants:
//! - Any number of concurrent requests cause one fetch.
//! - A fetch does not belong to a request that waits for it, so no request can stop it.
//! - A valid secret is returned without waiting, also during a fetch.
//! - After a failure, nothing is fetched until a pause is over; the pause doubles.
//! - No lock is held across an await.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Problem, Secret};

/// A secret is renewed at least this long before it expires …
const RENEW_AHEAD: Duration = Duration::from_secs(5 * 60);
/// … or when this fraction of its lifetime is left, whichever is earlier; but not in the first half
/// of its lifetime.
const RENEW_AHEAD_FRACTION: u32 = 10;
/// A secret is not used this long before its expiry: requests take time to arrive, and clocks
/// differ.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// Maximum time a secret is kept without a new fetch, whatever its stated lifetime.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Interval at which secrets without an expiry are fetched again, because files may have changed.
const REFETCH_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// Pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause: a repaired source is used within a minute.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A secret rejected within this time after its fetch counts as no better than the previous one.
const EARLY_REJECTION: Duration = Duration::from_secs(60);

/// The result of a fetch.
#[derive(Debug)]
pub(super) struct FetchedSecret {
    /// The secret.
    pub(super) secret: Secret,
    /// Lifetime from now on; `None` if it does not expire.
    pub(super) lifetime: Option<Duration>,
}

/// A cached secret.
#[derive(Debug)]
pub(in crate::upstream) struct CachedSecret {
    /// The secret.
    pub(in crate::upstream) secret: Secret,
    fetched: Instant,
    renew_at: Instant,
    expires: Option<Instant>,
}

impl CachedSecret {
    fn new(fetched: FetchedSecret, now: Instant) -> Self {
        let Some(life) = fetched.lifetime else {
            return Self {
                secret: fetched.secret,
                fetched: now,
                renew_at: now + jitter(REFETCH_INTERVAL),
                expires: None,
            };
        };
        let life = life.min(MAX_LIFETIME);
        let ahead = RENEW_AHEAD.max(life / RENEW_AHEAD_FRACTION).min(life / 2);
        let expires = now + life.saturating_sub(EXPIRY_MARGIN.min(life / RENEW_AHEAD_FRACTION));
        Self {
            secret: fetched.secret,
            fetched: now,
            renew_at: now + jitter(life - ahead),
            expires: Some(expires),
        }
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

type Outcome = Result<Arc<CachedSecret>, Problem>;

/// A fetch in progress; `None` until it is complete.
type Flight = watch::Receiver<Option<Outcome>>;

/// The cache of one provider.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Cache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<Arc<CachedSecret>>,
    flight: Option<Flight>,
    /// Number of consecutive failed fetches.
    failures: u32,
    /// Number of consecutive secrets that were rejected soon after their fetch.
    rejections: u32,
    /// Time before which nothing is fetched.
    paused: Option<Instant>,
    problem: Option<Problem>,
}

/// The result of a look-up.
enum LookupResult {
    Valid(Arc<CachedSecret>),
    Failed(Problem),
    Pending(Flight),
}

impl Cache {
    /// Returns the cached secret if it is valid, otherwise the result of `fetch`. A started fetch
    /// runs to its end on the runtime of the caller.
    ///
    /// # Errors
    /// Returns the problem when no valid secret is cached.
    pub(super) async fn get<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Result<FetchedSecret, Problem>> + Send + 'static,
    {
        let result = self.look_up(fetch);
        match result {
            LookupResult::Valid(cached) => Ok(cached),
            LookupResult::Failed(problem) => Err(problem),
            LookupResult::Pending(mut flight) => match flight.wait_for(Option::is_some).await {
                Ok(outcome) => outcome
                    .clone()
                    .unwrap_or_else(|| Err(Problem::new(INTERRUPTED))),
                Err(_) => Err(Problem::new(INTERRUPTED)),
            },
        }
    }

    fn look_up<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F) -> LookupResult
    where
        F: Future<Output = Result<FetchedSecret, Problem>> + Send + 'static,
    {
        let now = Instant::now();
        let mut state = self.state.lock();
        let valid = state.cached.clone().filter(|cached| cached.is_valid(now));
        if let Some(cached) = &valid
            && now < cached.renew_at
        {
            return LookupResult::Valid(cached.clone());
        }
        let flight = match (state.in_flight(), state.pause(now)) {
            (Some(flight), _) => flight,
            // During a pause, a secret that is still valid is used.
            (None, Some(problem)) => {
                return valid.map_or(LookupResult::Failed(problem), LookupResult::Valid);
            }
            (None, None) => self.start_fetch(&mut state, fetch()),
        };
        valid.map_or(LookupResult::Pending(flight), LookupResult::Valid)
    }

    fn start_fetch(
        self: &Arc<Self>,
        state: &mut State,
        fetch: impl Future<Output = Result<FetchedSecret, Problem>> + Send + 'static,
    ) -> Flight {
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let cache = self.clone();
        // In a separate task: it goes on when the request that started it is dropped.
        tokio::spawn(async move {
            let outcome = cache.complete(fetch.await);
            sender.send_replace(Some(outcome));
        });
        flight
    }

    fn complete(&self, fetched: Result<FetchedSecret, Problem>) -> Outcome {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.flight = None;
        match fetched {
            Ok(fetched) => {
                let cached = Arc::new(CachedSecret::new(fetched, now));
                state.cached = Some(cached.clone());
                // `rejections` stays: only the provider can tell whether the new secret is better.
                (state.failures, state.paused, state.problem) = (0, None, None);
                Ok(cached)
            }
            Err(problem) => {
                state.failures = state.failures.saturating_add(1);
                let nth = state.failures;
                state.pause_for(problem.clone(), nth, now);
                Err(problem)
            }
        }
    }

    /// Removes a secret that the provider has rejected; the next request fetches a new one. If new
    /// secrets are rejected as well, a pause comes first.
    pub(super) fn invalidate(&self, rejected: &Arc<CachedSecret>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        // A late rejection of an older secret says nothing about the current one.
        if !state
            .cached
            .as_ref()
            .is_some_and(|cached| Arc::ptr_eq(cached, rejected))
        {
            return;
        }
        state.cached = None;
        state.rejections = if now < rejected.fetched + EARLY_REJECTION {
            state.rejections.saturating_add(1)
        } else {
            1
        };
        // A single rejection leads to a new fetch at once; only a series is slowed down.
        if state.rejections > 1 {
            let nth = state.rejections - 1;
            state.pause_for(Problem::new(REJECTED), nth, now);
        }
    }
}

/// The fetch did not complete because its runtime was stopped.
const INTERRUPTED: &str = "the fetch was interrupted: try again";
/// Several new secrets in a row were rejected.
const REJECTED: &str = "the provider rejects every fetched credential: check the permissions of \
    the account that it belongs to";

impl State {
    fn in_flight(&self) -> Option<Flight> {
        self.flight
            .clone()
            // An error means that the sender is gone: the runtime of the fetch was stopped.
            .filter(|flight| flight.has_changed().is_ok())
    }

    /// Returns the problem that started the current pause, if there is one.
    fn pause(&self, now: Instant) -> Option<Problem> {
        if self.paused.is_some_and(|until| now < until) {
            self.problem.clone()
        } else {
            None
        }
    }

    /// Starts the pause after the `nth` consecutive failure.
    fn pause_for(&mut self, problem: Problem, nth: u32, now: Instant) {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << nth.saturating_sub(1).min(8))
            .min(MAX_PAUSE);
        self.paused = Some(now + jitter(pause));
        self.problem = Some(problem);
    }
}

/// Shortens a time by a random amount of up to 10 %, so that instances that started together do not
/// fetch together.
fn jitter(time: Duration) -> Duration {
    // Without randomness, use the whole time: later, but not wrong.
    let random = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
    time.mul_f64(0.9 + random / 10.0)
}

#[cfg(test)]
mod tests;
