//! The ledger: the cost of generations, the accounts that pay for them, and what is left of
//! budgets.
//!
//! Invariants: each stream that began has one row and one settlement; the spending of an account is
//! the sum of its rows, recomputed from them at start; nothing waits for the disk, and while the
//! disk does not keep up no generation begins; a request that is refused takes nothing. Rows
//! contain no prompt and no completion.
//!
//! The rows are JSON lines, one file for each month, under `data_dir`: they can be read while the
//! process runs, copied and deleted by the month, and a crash loses at most the last moment.
//! Budgets have no store of their own that could disagree with the rows.

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
use accounts::{Accounts, Overrun, Payers};
use bill::BillState;
use period::{Day, Month, now_ms};
use row::Row;
use store::Store;

pub use bill::Bill;
pub use files::{FileProblem, Files};

/// Default share of a budget from which callers are warned, percent.
pub const WARN_AT: u64 = 80;

/// Maximum spending in a calendar day and month, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Per day.
    pub day: Option<Money>,
    /// Per month.
    pub month: Option<Money>,
    /// Share of the budget from which callers are warned, percent.
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
    /// Returns true if the day or the month is limited.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.day.is_some() || self.month.is_some()
    }
}

/// All configured budgets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Budget of all callers together.
    pub global: Budget,
    /// Budget of each end user.
    pub user: Budget,
    /// Budgets by key name.
    pub keys: BTreeMap<ByteString, Budget>,
    /// Budgets by team name.
    pub teams: BTreeMap<ByteString, Budget>,
    /// Ends a stream when one of its budgets is spent; otherwise the stream runs on
    /// (`limits.on_exceeded`).
    pub cut: bool,
}

impl Budgets {
    /// Returns true if any budget is set.
    #[must_use]
    pub fn are_set(&self) -> bool {
        let named = self.keys.values().chain(self.teams.values());
        named.chain([&self.global, &self.user]).any(Budget::is_set)
    }

    /// Returns the accounts that pay for a generation of this caller. Accounts of end users are
    /// kept only if users have a budget.
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

/// The parties that a generation is charged to.
#[derive(Debug, Clone, Default)]
pub struct Customer {
    /// The virtual key.
    pub key: Option<ByteString>,
    /// The team of the key.
    pub team: Option<ByteString>,
    /// The end user.
    pub user: Option<ByteString>,
}

/// An account that pays for generations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payer {
    /// The account of all callers together.
    Global,
    /// A virtual key.
    Key(ByteString),
    /// A team.
    Team(ByteString),
    /// An end user of a key.
    User {
        /// The key; empty if the user has none.
        key: ByteString,
        /// The user.
        user: ByteString,
    },
}

impl Payer {
    /// Returns the name used in error objects and headers.
    #[must_use]
    pub const fn scope(&self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Key(_) => "key",
            Self::Team(_) => "team",
            Self::User { .. } => "user",
        }
    }

    /// Returns the name for logs. End users are logged only by their key.
    fn name(&self) -> &str {
        match self {
            Self::Global => "",
            Self::Key(name) | Self::Team(name) | Self::User { key: name, .. } => name,
        }
    }
}

/// The day and the month of a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    day: Day,
    month: Month,
}

impl Period {
    fn from_ms(ms: u64) -> Self {
        Self {
            day: Day::from_ms(ms),
            month: Month::from_ms(ms),
        }
    }
}

/// A warning that a budget is nearly spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// Scope of the budget: `key`, `team`, `user`, `global`.
    pub scope: &'static str,
    /// `day` or `month`.
    pub period: &'static str,
    /// Used share, percent; amounts reserved for running streams count as used.
    pub percent: u64,
}

/// The expected cost of a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Cost of the prompt alone.
    pub prompt: Money,
    /// Cost of prompt and answer.
    pub cost: Money,
    /// At least one of its targets has a price.
    pub priced: bool,
}

/// The ledger of this process.
#[derive(Debug)]
pub struct Ledger {
    accounts: Mutex<Accounts>,
    /// `None` without a `data_dir`: then spending is forgotten when the process ends.
    store: Option<Store>,
}

impl Ledger {
    /// Opens the ledger in `data_dir` and computes the spending of `budgets` from its rows. Streams
    /// that a crash cut off are closed and charged with what was reserved for them.
    ///
    /// # Errors
    /// When the folder cannot be used or another process uses it; the error says which.
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
            tracing::warn!(lines = damaged, dir = %dir.display(), "lines of the ledger cannot be read: they stay unchanged and are not counted");
        }
        let store = Store::start(files)?;
        if !lost.is_empty() {
            tracing::warn!(
                streams = lost.len(),
                "streams were running when the last process ended: each is charged with its reservation"
            );
        }
        // Written now, so that the next start does not find them open again.
        for row in &lost {
            store.push(row.month(), &row.to_line());
        }
        Ok(Arc::new(Self {
            accounts: Mutex::new(accounts),
            store: Some(store),
        }))
    }

    /// Reserves the expected cost of a generation on every budget of its customer. Dropping the bill
    /// before the generation begins gives it back.
    ///
    /// # Errors
    /// 429 `budget_exceeded` with the scope of the budget and the time to wait; 400 if the prompt
    /// alone costs more than a whole budget; 503 if the disk does not keep up.
    pub fn reserve(
        self: &Arc<Self>,
        budgets: &Budgets,
        customer: Customer,
        estimate: Estimate,
    ) -> Result<Bill, Fault> {
        // The next start would not know of a generation whose row is not written.
        if self.store.as_ref().is_some_and(Store::is_full) {
            let message = "the usage ledger cannot be written: no generation begins until it can";
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
        // The reservation may exceed a budget: a request that costs more than the whole budget is
        // admitted while nothing of it is used.
        let unchecked_cost = figures.flatten().fold(reserved, Money::min);
        Ok(Bill {
            ledger: self.clone(),
            payers,
            customer,
            reserved_at: began,
            estimate,
            reserved,
            unchecked_cost,
            cut: budgets.cut,
            warnings,
            state: BillState::Reserved,
            unchecked_bytes: 0,
        })
    }

    /// Returns the spending of an account today and this month.
    #[must_use]
    pub fn spent(&self, payer: &Payer) -> (Money, Money) {
        let [day, month, ..] = self.accounts.lock().spent(payer, now_ms());
        (day, month)
    }

    /// Returns the amount reserved on all accounts; zero while nothing runs.
    #[must_use]
    pub fn reserved(&self) -> Money {
        self.accounts.lock().reserved()
    }

    /// Waits until all rows are on the disk, at most for that long. Called at the end of the
    /// process.
    pub fn flush(&self, at_most: Duration) {
        if let Some(store) = &self.store {
            store.flush(at_most);
        }
    }

    fn raise(&self, payers: &Payers, began: u64, money: (Money, Money)) -> Result<(), Overrun> {
        self.accounts.lock().raise(payers, (began, now_ms()), money)
    }

    fn settle(&self, payers: &Payers, period: Period, reserved: Money, cost: Money) {
        self.accounts.lock().settle(payers, period, reserved, cost);
    }

    fn write(&self, row: &Row<'_>) {
        if let Some(store) = &self.store {
            store.push(row.month(), &row.to_line());
        }
    }
}

/// Returns the value of `x-budget-warning`: a list of scopes, each with the period and the used
/// share, percent.
#[must_use]
pub fn warning_header(warnings: &[Warning]) -> Option<String> {
    let one = |it: &Warning| format!("{};period={};used={}", it.scope, it.period, it.percent);
    (!warnings.is_empty()).then(|| warnings.iter().map(one).collect::<Vec<_>>().join(", "))
}
