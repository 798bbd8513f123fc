//! The ledger: what generations cost, who pays, and how much of a budget is left.
//!
//! Invariants: one row for each stream that began, and one settlement; what an account has spent is
//! the sum of its rows, as it is reckoned from them when the process begins; nobody waits for the
//! disk, and where it does not keep up nothing new begins; a request that is refused takes nothing.
//! No prompt, no completion.
//!
//! The rows stand in one file of JSON lines for each month, under `data_dir`: they can be read
//! while the process runs, copied and deleted by the month, and lose at most the last moment in a
//! crash. Budgets have no store of their own that could disagree.

mod accounts;
mod bill;
pub mod files;
pub mod period;
mod refusal;
pub mod report;
mod restore;
pub mod row;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;

use crate::model::fault::{Code, Fault};
use crate::model::money::Money;
use accounts::{Accounts, Outgrown, Payers};
use period::{Day, Month, now_ms};
use row::Row;
use store::Store;

pub use bill::{Begun, Bill, BudgetReservation, Settlement};
pub use files::{FileProblem, Files};

/// From which share of a budget on callers are warned, in percent, where nobody says.
pub const WARN_AT: u64 = 80;

/// What may be spent in a calendar day and month, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In a day.
    pub day: Option<Money>,
    /// In a month.
    pub month: Option<Money>,
    /// From this percentage on callers are warned.
    pub warn_at: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            day: None,
            month: None,
            warn_at: WARN_AT,
        }
    }
}

impl Budget {
    /// Something is limited.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.day.is_some() || self.month.is_some()
    }
}

/// All budgets that are configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Over everything.
    pub global: Budget,
    /// Of each end user.
    pub user: Budget,
    /// By key name.
    pub keys: BTreeMap<ByteString, Budget>,
    /// By team.
    pub teams: BTreeMap<ByteString, Budget>,
    /// A stream is ended when one of its budgets is spent; else it runs on (`limits.on_exceeded`).
    pub cut: bool,
}

impl Budgets {
    /// Somebody has one.
    #[must_use]
    pub fn are_set(&self) -> bool {
        let named = self.keys.values().chain(self.teams.values());
        named.chain([&self.global, &self.user]).any(Budget::is_set)
    }

    /// The accounts that pay for a generation of this caller. Those of end users are kept only
    /// where they have a budget.
    fn payers(&self, customer: &Customer) -> Payers {
        let mut payers = Payers::new();
        payers.push((Payer::Global, self.global));
        if let Some(key) = &customer.key {
            payers.push((
                Payer::Key(key.clone()),
                self.keys.get(key).copied().unwrap_or_default(),
            ));
        }
        if let Some(team) = &customer.team {
            payers.push((
                Payer::Team(team.clone()),
                self.teams.get(team).copied().unwrap_or_default(),
            ));
        }
        if let (Some(user), true) = (&customer.user, self.user.is_set()) {
            payers.push((
                Payer::User {
                    key: customer.key.clone().unwrap_or_default(),
                    user: user.clone(),
                },
                self.user,
            ));
        }
        payers
    }
}

/// Whose generation it is.
#[derive(Debug, Clone, Default)]
pub struct Customer {
    /// The virtual key.
    pub key: Option<ByteString>,
    /// Its team.
    pub team: Option<ByteString>,
    /// The end user.
    pub user: Option<ByteString>,
}

/// An account that pays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payer {
    /// Everything.
    Global,
    /// A virtual key.
    Key(ByteString),
    /// A team.
    Team(ByteString),
    /// An end user of a key.
    User {
        /// The key; empty where the user has none.
        key: ByteString,
        /// The user.
        user: ByteString,
    },
}

impl Payer {
    /// The word in error objects and headers.
    #[must_use]
    pub const fn scope(&self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Key(_) => "key",
            Self::Team(_) => "team",
            Self::User { .. } => "user",
        }
    }

    /// How logs name it: a user by the key alone.
    fn name(&self) -> &str {
        match self {
            Self::Global => "",
            Self::Key(name) | Self::Team(name) | Self::User { key: name, .. } => name,
        }
    }
}

/// The day and the month of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    day: Day,
    month: Month,
}

impl Period {
    fn of(ms: u64) -> Self {
        Self {
            day: Day::of(ms),
            month: Month::of(ms),
        }
    }
}

/// A budget is nearly spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// Whose: `key`, `team`, `user`, `global`.
    pub scope: &'static str,
    /// `day` or `month`.
    pub period: &'static str,
    /// How much of it, in percent; what is reserved for running streams counts.
    pub percent: u64,
}

/// What a generation is expected to cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The prompt alone.
    pub prompt: Money,
    /// With the answer.
    pub cost: Money,
    /// A target of it has a price.
    pub priced: bool,
}

/// The ledger of this process.
#[derive(Debug)]
pub struct Ledger {
    accounts: Mutex<Accounts>,
    /// Absent where there is no `data_dir`: then what was spent is forgotten at the end.
    store: Option<Store>,
}

impl Ledger {
    /// Opens the ledger in `data_dir`, and reckons from its rows what has been spent of `budgets`.
    /// What a crash has cut off is closed: such a stream is charged what was reserved for it.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process uses it: says which.
    pub fn open(data_dir: Option<&Path>, budgets: &Budgets) -> Result<Arc<Self>, FileProblem> {
        let Some(dir) = data_dir else {
            return Ok(Arc::new(Self {
                accounts: Mutex::default(),
                store: None,
            }));
        };
        let files = Files::open(dir)?;
        let restore::Restored {
            accounts,
            lost,
            damaged,
        } = restore::restore(&files, budgets, now_ms())?;
        if damaged > 0 {
            tracing::warn!(lines = damaged, dir = %dir.display(), "lines of the ledger cannot be read: they are left as they are and not counted");
        }
        let store = Store::begin(files)?;
        if !lost.is_empty() {
            tracing::warn!(
                streams = lost.len(),
                "streams were running when the process ended before: each is charged what was reserved for it"
            );
        }
        for row in &lost {
            store.push(row.month(), &row.line());
        }
        Ok(Arc::new(Self {
            accounts: Mutex::new(accounts),
            store: Some(store),
        }))
    }

    /// Reserves what a generation is expected to cost, of every budget of its customer. Given back
    /// when it is dropped.
    ///
    /// # Errors
    /// 429 `budget_exceeded` with whose budget, and until when; 400 where no budget of a period
    /// could ever pay for the prompt; 503 where the disk does not keep up.
    pub fn hold(
        self: &Arc<Self>,
        budgets: &Budgets,
        customer: Customer,
        estimate: Estimate,
    ) -> Result<BudgetReservation, Fault> {
        if self.store.as_ref().is_some_and(Store::is_full) {
            let message = "the usage ledger cannot be written: nothing new begins until it can";
            return Err(Fault::new(Code::StoreUnavailable, message)
                .with_retry_after(Duration::from_secs(1)));
        }
        let began = now_ms();
        let payers = budgets.payers(&customer);
        let warnings = self
            .accounts
            .lock()
            .reserve(&payers, (estimate.prompt, estimate.cost), began)
            .map_err(|it| refusal::refused(&it))?;
        let (reserved, figures) = (
            estimate.cost,
            payers
                .iter()
                .flat_map(|(_, budget)| [budget.day, budget.month]),
        );
        // Reserved may be more than a budget holds: that of a stream which was let in alone.
        let safe = figures.flatten().fold(reserved, Money::min);
        Ok(BudgetReservation {
            ledger: self.clone(),
            payers,
            customer,
            began,
            estimate,
            reserved,
            safe,
            cut: budgets.cut,
            warnings,
            over: false,
        })
    }

    /// What an account has spent today and this month.
    #[must_use]
    pub fn spent(&self, payer: &Payer) -> (Money, Money) {
        let [day, month, ..] = self.accounts.lock().spent(payer, now_ms());
        (day, month)
    }

    /// What is reserved of all accounts: nothing where nothing runs.
    #[must_use]
    pub fn reserved(&self) -> Money {
        self.accounts.lock().reserved()
    }

    /// Waits until all rows are on the disk, or for that long; for the end of the process.
    pub fn flush(&self, at_most: Duration) {
        if let Some(store) = &self.store {
            store.flush(at_most);
        }
    }

    fn raise(&self, payers: &Payers, began: u64, money: (Money, Money)) -> Result<(), Outgrown> {
        self.accounts.lock().raise(payers, (began, now_ms()), money)
    }

    fn settle(&self, payers: &Payers, period: Period, reserved: Money, cost: Money) {
        self.accounts.lock().settle(payers, period, reserved, cost);
    }

    fn write(&self, row: &Row<'_>) {
        if let Some(store) = &self.store {
            store.push(row.month(), &row.line());
        }
    }
}

/// `x-budget-warning`: a list of whose budget, each with the period and how many percent of it are
/// used.
#[must_use]
pub fn warning_header(warnings: &[Warning]) -> Option<String> {
    let one = |it: &Warning| format!("{};period={};used={}", it.scope, it.period, it.percent);
    (!warnings.is_empty()).then(|| warnings.iter().map(one).collect::<Vec<_>>().join(", "))
}
