//! The last secret that was fetched, shared by all workers.
//!
//! Invariants: many requests at once cause one fetch; a fetch belongs to nobody who waits for it,
//! so none of them can stop it; a good secret is handed out without waiting, also while another is
//! fetched; after a failure nothing is fetched until a pause is over, which doubles; no lock is
//! held while anything is waited for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Problem, Secret};

/// A secret is renewed this long before it ends …
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// … or when this part of its life is left, if that is sooner; but not before half of it is over.
const AHEAD_PART: u32 = 10;
/// A secret is not used in its last moments: requests need time to arrive, and clocks differ.
const MARGIN: Duration = Duration::from_secs(10);
/// No secret is kept longer without a look, whatever is said of it.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Secrets that do not end are looked up again, as files may have been changed.
const LOOK_AGAIN: Duration = Duration::from_secs(15 * 60);
/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: what was mended is found within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A secret that is refused within this time of its coming is no better than the one before.
const YOUNG: Duration = Duration::from_secs(60);

/// What a fetch gives.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The secret.
    pub(super) secret: Secret,
    /// How long it is good from now on; `None` where it does not end.
    pub(super) lifetime: Option<Duration>,
}

/// A secret that is kept.
#[derive(Debug)]
pub(in crate::upstream) struct Held {
    /// The secret.
    pub(in crate::upstream) secret: Secret,
    fetched: Instant,
    renew: Instant,
    ends: Option<Instant>,
}

impl Held {
    fn new(fetched: Fetched, now: Instant) -> Self {
        let Some(life) = fetched.lifetime else {
            return Self {
                secret: fetched.secret,
                fetched: now,
                renew: now + spread(LOOK_AGAIN),
                ends: None,
            };
        };
        let life = life.min(LONGEST_LIFE);
        let ahead = AHEAD.max(life / AHEAD_PART).min(life / 2);
        let ends = now + life.saturating_sub(MARGIN.min(life / AHEAD_PART));
        Self {
            secret: fetched.secret,
            fetched: now,
            renew: now + spread(life - ahead),
            ends: Some(ends),
        }
    }

    fn is_good(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }
}

type Outcome = Result<Arc<Held>, Problem>;

/// A fetch under way: empty until it is over.
type Flight = watch::Receiver<Option<Outcome>>;

/// The cache of one account.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Cache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Arc<Held>>,
    flight: Option<Flight>,
    /// Failed fetches in a row.
    failures: u32,
    /// Secrets in a row that were refused soon after they had come.
    refusals: u32,
    /// Nothing is fetched before that.
    paused: Option<Instant>,
    problem: Option<Problem>,
}

/// What a request finds.
enum Look {
    Good(Arc<Held>),
    Failed(Problem),
    Wait(Flight),
}

impl Cache {
    /// The secret: the one that is held if it is good, else the one that `fetch` brings. A fetch
    /// that is begun runs to its end on the runtime of whoever began it.
    ///
    /// # Errors
    /// What has gone wrong, where no good secret is held.
    pub(super) async fn take<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Result<Fetched, Problem>> + Send + 'static,
    {
        let look = self.look(fetch);
        match look {
            Look::Good(held) => Ok(held),
            Look::Failed(problem) => Err(problem),
            Look::Wait(mut flight) => match flight.wait_for(Option::is_some).await {
                Ok(outcome) => outcome
                    .clone()
                    .unwrap_or_else(|| Err(Problem::new(INTERRUPTED))),
                Err(_) => Err(Problem::new(INTERRUPTED)),
            },
        }
    }

    fn look<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F) -> Look
    where
        F: Future<Output = Result<Fetched, Problem>> + Send + 'static,
    {
        let now = Instant::now();
        let mut state = self.state.lock();
        let good = state.held.clone().filter(|held| held.is_good(now));
        if let Some(held) = &good
            && now < held.renew
        {
            return Look::Good(held.clone());
        }
        let flight = match (state.flying(), state.pause(now)) {
            (Some(flight), _) => flight,
            (None, Some(problem)) => return good.map_or(Look::Failed(problem), Look::Good),
            (None, None) => self.launch(&mut state, fetch()),
        };
        good.map_or(Look::Wait(flight), Look::Good)
    }

    fn launch(
        self: &Arc<Self>,
        state: &mut State,
        fetch: impl Future<Output = Result<Fetched, Problem>> + Send + 'static,
    ) -> Flight {
        let (landing, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let cache = self.clone();
        tokio::spawn(async move {
            let outcome = cache.land(fetch.await);
            landing.send_replace(Some(outcome));
        });
        flight
    }

    fn land(&self, fetched: Result<Fetched, Problem>) -> Outcome {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.flight = None;
        match fetched {
            Ok(fetched) => {
                let held = Arc::new(Held::new(fetched, now));
                state.held = Some(held.clone());
                (state.failures, state.paused, state.problem) = (0, None, None);
                Ok(held)
            }
            Err(problem) => {
                state.failures = state.failures.saturating_add(1);
                let nth = state.failures;
                state.pause_for(problem.clone(), nth, now);
                Err(problem)
            }
        }
    }

    /// A provider has refused this secret: it is held no longer, and the next request fetches
    /// another. Where new ones are refused as well, a pause comes first.
    pub(super) fn refused(&self, refused: &Arc<Held>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if !state
            .held
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, refused))
        {
            return;
        }
        state.held = None;
        state.refusals = if now < refused.fetched + YOUNG {
            state.refusals.saturating_add(1)
        } else {
            1
        };
        if state.refusals > 1 {
            let nth = state.refusals - 1;
            state.pause_for(Problem::new(REFUSED), nth, now);
        }
    }
}

/// The fetch did not come to its end: its runtime was stopped.
const INTERRUPTED: &str = "the fetch was interrupted: try again";
/// New secrets are refused one after another.
const REFUSED: &str = "the provider refuses every one that is fetched: check the rights of the account that they are for";

impl State {
    fn flying(&self) -> Option<Flight> {
        self.flight
            .clone()
            .filter(|flight| flight.has_changed().is_ok())
    }

    /// Why nothing may be fetched now.
    fn pause(&self, now: Instant) -> Option<Problem> {
        if self.paused.is_some_and(|until| now < until) {
            self.problem.clone()
        } else {
            None
        }
    }

    /// Nothing is fetched for a while after the `nth` failure in a row.
    fn pause_for(&mut self, problem: Problem, nth: u32, now: Instant) {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << nth.saturating_sub(1).min(8))
            .min(LONGEST_PAUSE);
        self.paused = Some(now + spread(pause));
        self.problem = Some(problem);
    }
}

/// Nine tenths of a time to all of it, so that instances which began together do not ask together.
fn spread(time: Duration) -> Duration {
    // Without randomness it is the whole time: later, but not wrong.
    let random = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
    time.mul_f64(0.9 + random / 10.0)
}

#[cfg(test)]
mod tests;
