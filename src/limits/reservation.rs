//! The amount that one generation has taken from one account.
//!
//! Invariant: settled exactly once, when it is dropped, with the amount recorded until then.

use std::sync::Arc;

use super::account::{Account, Need};
use super::clock::Clock;
use super::refusal;
use crate::model::fault::Fault;
use crate::model::limit::Limit;

/// An account that a request has to pass, with its current figures.
#[derive(Debug, Clone)]
pub(super) struct AppliedLimit {
    pub(super) account: Arc<Account>,
    pub(super) limit: Limit,
}

/// The reservation of one generation on one account.
#[derive(Debug)]
pub(super) struct Reservation {
    account: Arc<Account>,
    clock: Clock,
    /// Tokens taken so far; `None` if the account does not count tokens.
    taken: Option<u64>,
    /// Tokens owed as far as is known.
    owed: u64,
    /// An upstream was asked: the request counts.
    asked: bool,
    /// It holds a concurrency slot.
    slot: bool,
}

impl Reservation {
    /// Records what was just taken from an account.
    pub(super) fn new(account: &Arc<Account>, clock: Clock, taken: Option<u64>) -> Self {
        Self {
            account: account.clone(),
            clock,
            taken,
            owed: 0,
            asked: false,
            slot: true,
        }
    }

    /// Takes a reservation on one account alone.
    ///
    /// # Errors
    /// 429 if the account does not have enough left, 400 if it can never hold that much.
    pub(super) fn take(
        applied: &AppliedLimit,
        need: Need,
        clock: Clock,
    ) -> Result<Self, Box<Fault>> {
        let mut state = applied.account.lock_with_limit(&applied.limit, clock.now());
        state.check(need).map_err(|short| {
            Box::new(refusal::refused(applied.account.scope, short, need, &state))
        })?;
        let taken = state.take(need);
        drop(state);
        Ok(Self::new(&applied.account, clock, taken))
    }

    /// Returns the tokens taken so far, if they are counted.
    pub(super) const fn taken(&self) -> Option<u64> {
        self.taken
    }

    /// Records that an upstream was asked and that `tokens` are owed by now.
    pub(super) const fn owe(&mut self, tokens: u64) {
        (self.asked, self.owed) = (true, tokens);
    }

    /// Takes what is owed and not yet taken.
    ///
    /// # Errors
    /// The fault for an account that is in debt after that; the tokens are taken all the same.
    pub(super) fn take_owed(&mut self, owed: u64) -> Result<(), Box<Fault>> {
        let Some(taken) = self.taken.as_mut().filter(|taken| **taken < owed) else {
            return Ok(());
        };
        let mut state = self.account.lock_at(self.clock.now());
        state.take_tokens(owed - *taken);
        *taken = owed;
        match state.debt() {
            Some((holds, wait)) => Err(Box::new(refusal::exhausted(
                self.account.scope,
                holds,
                wait,
            ))),
            None => Ok(()),
        }
    }

    /// Gives the slot back, once.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.slot) {
            self.account.lock().release();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.account.lock_at(self.clock.now());
        if self.slot {
            state.release();
        }
        // An attempt that never asked its provider owes it nothing.
        if let Some(taken) = self.taken {
            state.settle(taken, if self.asked { self.owed } else { 0 });
        }
        // No upstream was asked: the request does not count.
        if !self.asked {
            state.requests.give(1);
        }
    }
}
