//! What one generation has taken from one account.
//!
//! Invariant: settled exactly once, when it is dropped, with what it was told until then.

use std::sync::Arc;

use super::account::{Account, Need};
use super::clock::Clock;
use super::{Limit, refusal};
use crate::model::fault::Fault;

/// An account that a request has to pass, and its figures at the moment.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    pub(super) account: Arc<Account>,
    pub(super) limit: Limit,
}

/// One generation's part of an account.
#[derive(Debug)]
pub(super) struct Reservation {
    account: Arc<Account>,
    clock: Clock,
    /// The tokens taken so far; `None` where they are not counted.
    taken: Option<u64>,
    /// The tokens that it owes as far as is known.
    owes: u64,
    /// An upstream was asked: the request counts.
    asked: bool,
    /// It holds a slot.
    slot: bool,
}

impl Reservation {
    /// What was taken from an account just now.
    pub(super) fn new(account: &Arc<Account>, clock: Clock, taken: Option<u64>) -> Self {
        Self {
            account: account.clone(),
            clock,
            taken,
            owes: 0,
            asked: false,
            slot: true,
        }
    }

    /// Takes a part of one account alone.
    ///
    /// # Errors
    /// 429 where it has nothing left, 400 where it can never hold so much.
    pub(super) fn take(applied: &Applied, need: Need, clock: Clock) -> Result<Self, Box<Fault>> {
        let mut state = applied.account.under(&applied.limit, clock.now());
        state.look(need).map_err(|short| {
            Box::new(refusal::refused(applied.account.scope, short, need, &state))
        })?;
        let taken = state.take(need);
        drop(state);
        Ok(Self::new(&applied.account, clock, taken))
    }

    /// The tokens taken so far, where they are counted.
    pub(super) const fn taken(&self) -> Option<u64> {
        self.taken
    }

    /// An upstream was asked, and so many tokens are owed for that by now.
    pub(super) const fn owe(&mut self, tokens: u64) {
        (self.asked, self.owes) = (true, tokens);
    }

    /// Takes what is owed and not yet taken.
    ///
    /// # Errors
    /// When the account is in debt then; it is taken all the same.
    pub(super) fn keep_up(&mut self, owes: u64) -> Result<(), Box<Fault>> {
        let Some(taken) = self.taken.as_mut().filter(|taken| **taken < owes) else {
            return Ok(());
        };
        let mut state = self.account.now(self.clock.now());
        state.take_tokens(owes - *taken);
        *taken = owes;
        match state.debt() {
            Some((holds, wait)) => Err(Box::new(refusal::dry(self.account.scope, holds, wait))),
            None => Ok(()),
        }
    }

    /// Gives the slot back, once.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.slot) {
            self.account.state().release();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.account.now(self.clock.now());
        if self.slot {
            state.release();
        }
        if let Some(taken) = self.taken {
            state.settle(taken, if self.asked { self.owes } else { 0 });
        }
        if !self.asked {
            state.requests.give(1);
        }
    }
}
