//! The account of one limit: its figures, and the fills of requests, tokens and slots.
//!
//! Invariant: code that checks and then takes holds the lock in between.

use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::Scope;
use super::fill::Fill;
use super::limit_state::{Kind, LimitState};
use crate::model::limit::Limit;

/// Wait reported for an occupied slot: the end of a stream is not known in advance, and clients
/// wait a second anyway.
const SLOT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// An account, shared by all generations that draw on it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) scope: Scope,
    state: Mutex<State>,
}

/// The tokens that one request needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Estimated tokens of the prompt.
    pub input: u64,
    /// Tokens reserved for the answer.
    pub output: u64,
}

/// Why an account does not admit a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// It is exhausted and has enough again after this time.
    Exhausted(Kind, Duration),
    /// All its slots are taken.
    NoSlot(NonZeroU32),
    /// The prompt alone is more than it can ever hold.
    NeverFits(NonZeroU32),
}

impl Shortage {
    /// Returns the estimated time until the account admits the request.
    pub(super) const fn wait(self) -> Duration {
        match self {
            Self::Exhausted(_, wait) => wait,
            Self::NoSlot(_) => SLOT_RETRY_AFTER,
            Self::NeverFits(_) => Duration::MAX,
        }
    }
}

impl Account {
    pub(super) fn new(scope: Scope, limit: Limit, now: u64) -> Self {
        Self {
            scope,
            state: Mutex::new(State {
                limit,
                at: now,
                ..State::default()
            }),
        }
    }

    /// Locks the account, brings its fills up to date and applies these figures.
    pub(super) fn lock_with_limit(&self, limit: &Limit, now: u64) -> MutexGuard<'_, State> {
        let mut state = self.lock_at(now);
        // A reload changes the figures of accounts that running streams hold.
        if state.limit != *limit {
            state.limit = *limit;
        }
        state
    }

    /// Locks the account and brings its fills up to date.
    pub(super) fn lock_at(&self, now: u64) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.recover(now);
        state
    }

    /// Locks the account without bringing its fills up to date.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// State of an account.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) limit: Limit,
    pub(super) requests: Fill,
    pub(super) tokens: Fill,
    /// Time at which the fills were brought up to date, nanoseconds.
    at: u64,
    /// Number of slots in use.
    pub(super) running: u32,
    /// Tokens taken and not yet settled.
    pub(super) reserved: u64,
}

impl State {
    fn recover(&mut self, now: u64) {
        // Another worker may have read its clock later and taken the lock earlier.
        let elapsed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        recover(&mut self.requests, self.limit.requests_per_minute, elapsed);
        recover(&mut self.tokens, self.limit.tokens_per_minute, elapsed);
    }

    /// Returns the tokens to reserve for a request, at most what the account can hold; `None` if
    /// tokens are not counted.
    pub(super) fn reserve(&self, need: Need) -> Option<u64> {
        // A larger request is admitted when the account is full: its answer may well be shorter.
        let holds = self.limit.tokens_per_minute?;
        Some(
            need.input
                .saturating_add(need.output)
                .min(holds.get().into()),
        )
    }

    /// Checks whether one more request is admitted. Of several reasons against it, the one with the
    /// longest wait is returned.
    pub(super) fn check(&self, need: Need) -> Result<(), Shortage> {
        let worst = [
            self.check_tokens(need),
            self.check_requests(),
            self.check_slots(),
        ];
        worst
            .into_iter()
            .flatten()
            .max_by_key(|short| short.wait())
            .map_or(Ok(()), Err)
    }

    fn check_tokens(&self, need: Need) -> Option<Shortage> {
        let (holds, reserve) = (self.limit.tokens_per_minute?, self.reserve(need)?);
        // The prompt is certain, the answer is not: only the prompt alone makes a request
        // impossible.
        if need.input > holds.get().into() {
            return Some(Shortage::NeverFits(holds));
        }
        exhausted(Kind::Tokens, self.tokens.wait(reserve, holds, holds))
    }

    fn check_requests(&self) -> Option<Shortage> {
        let (per_minute, burst) = self.limit.requests()?;
        exhausted(Kind::Requests, self.requests.wait(1, burst, per_minute))
    }

    fn check_slots(&self) -> Option<Shortage> {
        let most = self.limit.concurrent_streams?;
        (self.running >= most.get()).then_some(Shortage::NoSlot(most))
    }

    /// Takes one request, a slot and the tokens to reserve. Returns the reserved tokens, if tokens
    /// are counted.
    pub(super) fn take(&mut self, need: Need) -> Option<u64> {
        // Counted without a limit too: a reload may add one while the stream runs.
        self.running = self.running.saturating_add(1);
        if self.limit.requests_per_minute.is_some() {
            self.requests.take(1);
        }
        let reserve = self.reserve(need)?;
        self.take_tokens(reserve);
        Some(reserve)
    }

    /// Takes tokens, even if they are not there.
    pub(super) fn take_tokens(&mut self, tokens: u64) {
        self.tokens.take(tokens);
        self.reserved = self.reserved.saturating_add(tokens);
    }

    /// Gives a slot back.
    pub(super) fn release(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Settles a reservation: of the tokens `taken`, `used` were used.
    pub(super) fn settle(&mut self, taken: u64, used: u64) {
        self.reserved = self.reserved.saturating_sub(taken);
        // Tokens beyond the reservation become debt, which delays later requests.
        if used > taken {
            self.tokens.take(used - taken);
        } else {
            self.tokens.give(taken - used);
        }
    }

    /// If the account is in debt, returns what it holds and the time until it is out of debt.
    pub(super) fn debt(&self) -> Option<(NonZeroU32, Duration)> {
        let holds = self
            .limit
            .tokens_per_minute
            .filter(|holds| self.tokens.is_in_debt(*holds))?;
        Some((holds, self.tokens.wait(0, holds, holds)))
    }

    /// Returns true if the account can be removed and created anew without losing information.
    pub(super) fn is_idle(&self) -> bool {
        let full = |fill: Fill, figure: Option<NonZeroU32>| figure.is_none() || fill.is_full();
        self.running == 0
            && self.reserved == 0
            && full(self.requests, self.limit.requests_per_minute)
            && full(self.tokens, self.limit.tokens_per_minute)
    }

    /// Returns what it has left of that kind, to compare accounts by.
    pub(super) fn room(&self, kind: Kind) -> Option<u128> {
        match kind {
            Kind::Requests => self
                .limit
                .requests()
                .map(|(_, burst)| self.requests.room(burst)),
            Kind::Tokens => self
                .limit
                .tokens_per_minute
                .map(|holds| self.tokens.room(holds)),
        }
    }

    /// Returns the state of the limit of that kind, for headers.
    pub(super) fn limit_state(&self, scope: Scope, kind: Kind) -> Option<LimitState> {
        let (fill, per_minute, holds) = match kind {
            Kind::Requests => self
                .limit
                .requests()
                .map(|(per_minute, burst)| (self.requests, per_minute, burst))?,
            Kind::Tokens => self
                .limit
                .tokens_per_minute
                .map(|holds| (self.tokens, holds, holds))?,
        };
        let (remaining, reset) = (fill.remaining(holds), fill.reset(per_minute));
        Some(LimitState {
            limit: scope.name(),
            per_minute: per_minute.get(),
            remaining,
            reset,
        })
    }
}

fn recover(fill: &mut Fill, per_minute: Option<NonZeroU32>, elapsed: u64) {
    match per_minute {
        Some(per_minute) => fill.recover(elapsed, per_minute),
        // Without a limit the fill is full: a limit configured later starts with nothing owed.
        None => *fill = Fill::default(),
    }
}

fn exhausted(kind: Kind, wait: Duration) -> Option<Shortage> {
    (!wait.is_zero()).then_some(Shortage::Exhausted(kind, wait))
}
