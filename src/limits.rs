//! Limits: how often each caller may send requests, for how many tokens, and how many at a time.
//!
//! Invariants: one decision over all limits, in one step, so that a refused request takes nothing
//! from any of them; what a generation has taken is settled exactly once, when its [`Pass`] ends,
//! on every way out; fills survive a reload, and memory is bounded whatever arrives. The door
//! (requests per address, before anything is read) uses `governor`.
//!
//! `fill` computes one figure, `account` one limit; `bounded` keeps the accounts that no
//! configuration names; `table` finds the accounts of a request, `decision` draws on all of them or
//! on none, `pass` and `reservation` hold what was taken.

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
use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::Mutex;

use crate::model::fault::Fault;
use crate::model::limit::Limit;
use account::Account;
use bounded::BoundedAccounts;
use clock::Clock;
use limit_state::LimitStates;
use reservation::AppliedLimit;

pub use account::Need;
pub use pass::{Pass, ProviderPass};
pub use table::{LimitTable, Subject};

/// All configured limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Limit on all requests together.
    pub global: Limit,
    /// Limit for each client address (IPv6 by /64). Its requests are counted at the door, its other
    /// figures together with all other limits.
    pub ip: Limit,
    /// Limit for each end user.
    pub user: Limit,
    /// Limits of virtual keys, by name.
    pub keys: BTreeMap<ByteString, Limit>,
    /// Limits of teams, by name.
    pub teams: BTreeMap<ByteString, Limit>,
    /// Limits of models, by public name.
    pub models: BTreeMap<ByteString, Limit>,
    /// Limits of providers, by name.
    pub providers: BTreeMap<ByteString, Limit>,
    /// Maximum number of tokens reserved for an answer.
    pub reserve_output: u64,
    /// Ends a stream when one of its accounts is exhausted; otherwise the stream runs on into debt.
    pub cut: bool,
}

/// Default of [`Settings::reserve_output`], tokens.
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

/// The kind of subject that a limit applies to. A decision locks accounts in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A client address.
    Ip,
    /// A virtual key.
    Key,
    /// A team.
    Team,
    /// An end user.
    User,
    /// A model.
    Model,
    /// All requests together.
    Global,
    /// A provider.
    Provider,
}

impl Scope {
    /// Returns the name used in error objects and headers.
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

/// The refusal of a request, with the state of the limits.
#[derive(Debug)]
pub struct Refusal {
    /// 429 with the name of the limit and the time to wait; 400 if no wait would help.
    pub fault: Fault,
    /// Values of the rate limit headers.
    pub limit_states: LimitStates,
}

impl From<Fault> for Box<Refusal> {
    /// Converts a refusal before any limit was looked at.
    fn from(fault: Fault) -> Self {
        Box::new(Refusal {
            fault,
            limit_states: LimitStates::default(),
        })
    }
}

/// All accounts of this process. They outlive the configuration that names them.
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
            .map(|scope| BoundedAccounts::new(scope, bounded::MAX_ACCOUNTS));
        Self {
            named: Mutex::default(),
            addresses,
            users,
            readers,
            clock: Clock::default(),
        }
    }
}

/// Totals held over all accounts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldTotals {
    /// Number of concurrency slots in use.
    pub slots: usize,
    /// Number of tokens taken and not yet settled.
    pub reserved: u64,
}

impl Limits {
    /// Returns the totals held. It visits every account: too expensive for every request.
    #[must_use]
    pub fn held(&self) -> HeldTotals {
        let mut held = HeldTotals::default();
        let mut add = |account: &Account| {
            let state = account.lock();
            held.slots += state.running as usize;
            held.reserved = held.reserved.saturating_add(state.reserved);
        };
        self.named.lock().values().for_each(|account| add(account));
        // Accounts of reads are left out: they hold neither slots nor tokens.
        self.addresses.for_each(&mut add);
        self.users.for_each(&mut add);
        held
    }

    /// Returns the account with that name with its fill unchanged, and applies these figures to it.
    fn named(&self, scope: Scope, name: &ByteString, limit: Limit) -> AppliedLimit {
        let now = self.clock.now();
        let mut named = self.named.lock();
        let account = named
            .entry((scope, name.clone()))
            .or_insert_with(|| Arc::new(Account::new(scope, limit, now)))
            .clone();
        // The figures apply at once, to running streams too.
        drop(account.lock_with_limit(&limit, now));
        AppliedLimit { account, limit }
    }

    /// Removes accounts that no configuration and no stream uses any more, once they are idle.
    fn forget_unnamed(&self) {
        let now = self.clock.now();
        // A second reference belongs to a table or to a running stream.
        self.named
            .lock()
            .retain(|_, account| Arc::strong_count(account) > 1 || !account.lock_at(now).is_idle());
    }
}
