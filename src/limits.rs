//! Limits: who may ask how often, for how much, and how much at a time.
//!
//! Invariants: one decision over all limits, in one step — a refused request takes nothing from any
//! of them; what a generation has taken is settled once, when its [`Pass`] ends, on every way out;
//! fills survive a reload, and memory is bounded whatever comes. The door (per address, before
//! anything is read) is `governor`'s.
//!
//! `fill` is the reckoning of one figure, `account` of one limit; `crowd` keeps those that no
//! configuration names; `board` finds the accounts of a request, `decision` draws on all of them or
//! on none, `pass` and `part` hold what was taken.

mod account;
mod bounded;
mod clock;
mod decision;
pub mod door;
mod fill;
pub mod limit_state;
mod pass;
mod refusal;
mod reservation;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::Mutex;

use crate::model::fault::Fault;
use account::Account;
use bounded::BoundedAccounts;
use clock::Clock;
use limit_state::LimitStates;
use reservation::Applied;

pub use account::Need;
pub use pass::{Charge, Lane, Pass};
pub use table::{LimitTable, Who};

/// One limit's figures. What is `None` is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Generations per minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens per minute, those of prompts and of answers; one minute's worth may come at once.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Generations at a time.
    pub concurrent_streams: Option<NonZeroU32>,
    /// Requests that may come at once; one minute's worth where not said.
    pub burst: Option<NonZeroU32>,
}

impl Limit {
    /// It limits anything.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.requests_per_minute.is_some()
            || self.tokens_per_minute.is_some()
            || self.concurrent_streams.is_some()
    }

    /// Both limits at once.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let tighter =
            |one: Option<NonZeroU32>, other: Option<NonZeroU32>| one.into_iter().chain(other).min();
        Self {
            requests_per_minute: tighter(self.requests_per_minute, other.requests_per_minute),
            tokens_per_minute: tighter(self.tokens_per_minute, other.tokens_per_minute),
            concurrent_streams: tighter(self.concurrent_streams, other.concurrent_streams),
            burst: tighter(self.burst, other.burst),
        }
    }

    /// Requests per minute, and at once.
    fn requests(&self) -> Option<(NonZeroU32, NonZeroU32)> {
        let per_minute = self.requests_per_minute?;
        Some((per_minute, self.burst.unwrap_or(per_minute)))
    }
}

/// What is limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Over everything.
    pub global: Limit,
    /// For each client address (IPv6 by /64): requests at the door, the rest with all others.
    pub ip: Limit,
    /// For each end user.
    pub user: Limit,
    /// For virtual keys, by name.
    pub keys: BTreeMap<ByteString, Limit>,
    /// For teams, by name.
    pub teams: BTreeMap<ByteString, Limit>,
    /// For models, by public name.
    pub models: BTreeMap<ByteString, Limit>,
    /// For providers, by name.
    pub providers: BTreeMap<ByteString, Limit>,
    /// What is reserved for an answer, tokens, at most.
    pub reserve_output: u64,
    /// A stream is ended when one of its accounts runs dry; else it runs on into debt.
    pub cut: bool,
}

/// What is reserved for an answer where the configuration does not say, tokens.
pub const RESERVE_OUTPUT: u64 = 1000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            global: Limit::default(),
            ip: Limit::default(),
            user: Limit::default(),
            keys: BTreeMap::new(),
            teams: BTreeMap::new(),
            models: BTreeMap::new(),
            providers: BTreeMap::new(),
            reserve_output: RESERVE_OUTPUT,
            cut: false,
        }
    }
}

/// Which limit it is. In a decision accounts are held in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Of a client address.
    Ip,
    /// Of one virtual key.
    Key,
    /// Of one team.
    Team,
    /// Of one end user.
    User,
    /// Of one model.
    Model,
    /// Over everything.
    Global,
    /// Of one provider.
    Provider,
}

impl Scope {
    /// The word in error objects and headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Key => "key",
            Self::Team => "team",
            Self::User => "user",
            Self::Model => "model",
            Self::Global => "global",
            Self::Provider => "provider",
        }
    }
}

/// A refusal, with what is left of the limits.
#[derive(Debug)]
pub struct Refused {
    /// 429, with which limit, and when to try again; 400 where it never makes sense.
    pub fault: Fault,
    /// For the rate headers.
    pub limit_states: LimitStates,
}

/// All accounts.
#[derive(Debug)]
pub struct Limits {
    named: Mutex<HashMap<(Scope, ByteString), Arc<Account>>>,
    addresses: BoundedAccounts,
    users: BoundedAccounts,
    readers: BoundedAccounts,
    clock: Clock,
}

impl Default for Limits {
    fn default() -> Self {
        let [addresses, users, readers] = [Scope::Ip, Scope::User, Scope::Key]
            .map(|scope| BoundedAccounts::new(scope, bounded::KEPT));
        Self {
            named: Mutex::default(),
            addresses,
            users,
            readers,
            clock: Clock::default(),
        }
    }
}

/// What is held of all accounts at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Slots that are taken, over all accounts.
    pub slots: usize,
    /// Tokens that were taken and are not settled, over all accounts.
    pub reserved: u64,
}

impl Limits {
    /// What is held. Looks at every account: not for every request.
    #[must_use]
    pub fn held(&self) -> Held {
        let mut held = Held::default();
        let mut add = |account: &Account| {
            let state = account.state();
            held.slots += state.running as usize;
            held.reserved = held.reserved.saturating_add(state.reserved);
        };
        self.named.lock().values().for_each(|account| add(account));
        self.addresses.each(&mut add);
        self.users.each(&mut add);
        held
    }

    /// The account of that name, as full as it was left, under these figures.
    fn named(&self, scope: Scope, name: &ByteString, limit: Limit) -> Applied {
        let now = self.clock.now();
        let mut named = self.named.lock();
        let account = named
            .entry((scope, name.clone()))
            .or_insert_with(|| Arc::new(Account::new(scope, limit, now)))
            .clone();
        drop(account.under(&limit, now));
        Applied { account, limit }
    }

    /// Forgets accounts that no configuration and no stream has any more, once they say nothing.
    fn forget_unnamed(&self) {
        let now = self.clock.now();
        self.named
            .lock()
            .retain(|_, account| Arc::strong_count(account) > 1 || !account.now(now).is_idle());
    }
}
