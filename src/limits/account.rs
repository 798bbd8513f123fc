//! One limit's account: its figures, and the fills of requests, tokens and slots.
//!
//! Invariant: who looks and then takes holds the lock in between.

use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::fill::Fill;
use super::limit_state::{Kind, LimitState};
use super::{Limit, Scope};

/// When a slot may be free again: nobody knows when a stream ends, and a second is what clients
/// wait anyway.
const SLOT_AGAIN: Duration = Duration::from_secs(1);

/// An account, shared by all who draw on it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) scope: Scope,
    state: Mutex<State>,
}

/// What one request needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// The tokens of its prompt, about.
    pub input: u64,
    /// The tokens that are reserved for its answer.
    pub output: u64,
}

/// Why an account does not let a request in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Short {
    /// It has run out, and has enough again after this time.
    Out(Kind, Duration),
    /// Its slots are taken.
    Slots(NonZeroU32),
    /// The prompt alone is more than it can ever hold.
    Never(NonZeroU32),
}

impl Short {
    /// How long it will be so, about.
    pub(super) const fn wait(self) -> Duration {
        match self {
            Self::Out(_, wait) => wait,
            Self::Slots(_) => SLOT_AGAIN,
            Self::Never(_) => Duration::MAX,
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

    /// The account as it is now, under these figures. Others wait meanwhile.
    pub(super) fn under(&self, limit: &Limit, now: u64) -> MutexGuard<'_, State> {
        let mut state = self.now(now);
        if state.limit != *limit {
            state.limit = *limit;
        }
        state
    }

    /// The account as it is now. Others wait meanwhile.
    pub(super) fn now(&self, now: u64) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.recover(now);
        state
    }

    /// The account as it was. Others wait meanwhile.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// What an account keeps.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) limit: Limit,
    pub(super) requests: Fill,
    pub(super) tokens: Fill,
    /// When the fills were brought up to date, nanoseconds.
    at: u64,
    /// Slots that are taken.
    pub(super) running: u32,
    /// Tokens that were taken and are not settled.
    pub(super) reserved: u64,
}

impl State {
    fn recover(&mut self, now: u64) {
        // Another worker may have read its clock a little later and come here a little earlier.
        let elapsed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        recover(&mut self.requests, self.limit.requests_per_minute, elapsed);
        recover(&mut self.tokens, self.limit.tokens_per_minute, elapsed);
    }

    /// What is to be reserved for a request: no more than there can be.
    pub(super) fn reserve(&self, need: Need) -> Option<u64> {
        let holds = self.limit.tokens_per_minute?;
        Some(
            need.input
                .saturating_add(need.output)
                .min(holds.get().into()),
        )
    }

    /// Whether one more request may come; of several reasons against it the one that lasts longest.
    pub(super) fn look(&self, need: Need) -> Result<(), Short> {
        let worst = [
            self.look_for_tokens(need),
            self.look_for_requests(),
            self.look_for_slots(),
        ];
        worst
            .into_iter()
            .flatten()
            .max_by_key(|short| short.wait())
            .map_or(Ok(()), Err)
    }

    fn look_for_tokens(&self, need: Need) -> Option<Short> {
        let (holds, reserve) = (self.limit.tokens_per_minute?, self.reserve(need)?);
        if need.input > holds.get().into() {
            return Some(Short::Never(holds));
        }
        out(Kind::Tokens, self.tokens.wait(reserve, holds, holds))
    }

    fn look_for_requests(&self) -> Option<Short> {
        let (per_minute, burst) = self.limit.requests()?;
        out(Kind::Requests, self.requests.wait(1, burst, per_minute))
    }

    fn look_for_slots(&self) -> Option<Short> {
        let most = self.limit.concurrent_streams?;
        (self.running >= most.get()).then_some(Short::Slots(most))
    }

    /// Takes one request, a slot, and what is to be reserved; says how much that was, where tokens
    /// are counted.
    pub(super) fn take(&mut self, need: Need) -> Option<u64> {
        self.running = self.running.saturating_add(1);
        if self.limit.requests_per_minute.is_some() {
            self.requests.take(1);
        }
        let reserve = self.reserve(need)?;
        self.take_tokens(reserve);
        Some(reserve)
    }

    /// Takes tokens, whether or not they are there.
    pub(super) fn take_tokens(&mut self, tokens: u64) {
        self.tokens.take(tokens);
        self.reserved = self.reserved.saturating_add(tokens);
    }

    /// Gives a slot back.
    pub(super) fn release(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Of what was taken, so much was used.
    pub(super) fn settle(&mut self, taken: u64, used: u64) {
        self.reserved = self.reserved.saturating_sub(taken);
        if used > taken {
            self.tokens.take(used - taken);
        } else {
            self.tokens.give(taken - used);
        }
    }

    /// How long it will be in debt, where it is.
    pub(super) fn debt(&self) -> Option<(NonZeroU32, Duration)> {
        let holds = self
            .limit
            .tokens_per_minute
            .filter(|holds| self.tokens.is_in_debt(*holds))?;
        Some((holds, self.tokens.wait(0, holds, holds)))
    }

    /// Nothing is lost when it is forgotten, and made anew.
    pub(super) fn is_idle(&self) -> bool {
        let full = |fill: Fill, figure: Option<NonZeroU32>| figure.is_none() || fill.is_full();
        self.running == 0
            && self.reserved == 0
            && full(self.requests, self.limit.requests_per_minute)
            && full(self.tokens, self.limit.tokens_per_minute)
    }

    /// What it has left of that kind, to compare accounts by.
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

    /// Where its callers stand with that kind.
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
        // What is not limited is full.
        None => *fill = Fill::default(),
    }
}

fn out(kind: Kind, wait: Duration) -> Option<Short> {
    (!wait.is_zero()).then_some(Short::Out(kind, wait))
}
