//! What the rows say when the process begins: how much is spent, and which streams a crash cut off.

use std::collections::HashMap;

use super::accounts::Accounts;
use super::bill::unsettled;
use super::files::{self, FileProblem, Files};
use super::period::Month;
use super::row::Row;
use super::{Budgets, Customer, Period};
use crate::model::money::Money;

/// The code of a stream that a crash cut off.
const LOST: &str = "lost";
/// The files that are read, from the newest on: this month's for what is spent, and that before,
/// whose last streams may have run when the process ended.
const READ: usize = 2;

/// What was found.
pub(super) struct Restored {
    pub(super) accounts: Accounts,
    /// The rows that close what was cut off; they are to be written.
    pub(super) lost: Vec<Row<'static>>,
    /// Lines that were no rows.
    pub(super) damaged: usize,
}

/// Reads what has been spent in the month of `now`.
pub(super) fn restore(files: &Files, budgets: &Budgets, now: u64) -> Result<Restored, FileProblem> {
    let mut found = Restored {
        accounts: Accounts::default(),
        lost: Vec::new(),
        damaged: 0,
    };
    let months = files.months()?;
    for (month, path) in months.iter().skip(months.len().saturating_sub(READ)) {
        let mut open: HashMap<String, Row<'static>> = HashMap::new();
        let counts = *month == Month::of(now);
        found.damaged += files::read::<FileProblem>(path, |row| {
            if row.ended.is_none() {
                open.insert(row.id.clone().into_owned(), row.into_owned());
                return Ok(());
            }
            // A line that came twice counts once.
            if open.remove(&*row.id).is_some() && counts {
                charge(&mut found.accounts, budgets, &row);
            }
            Ok(())
        })?;
        let mut lost: Vec<_> = open.into_values().map(|row| unsettled(row, LOST)).collect();
        lost.sort_by(|a, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
        if counts {
            lost.iter()
                .for_each(|row| charge(&mut found.accounts, budgets, row));
        }
        found.lost.extend(lost);
    }
    Ok(found)
}

fn charge(accounts: &mut Accounts, budgets: &Budgets, row: &Row<'_>) {
    let Some(cost) = row.cost else { return };
    let own = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(Into::into);
    let customer = Customer {
        key: own(&row.key),
        team: own(&row.team),
        user: own(&row.user),
    };
    accounts.settle(
        &budgets.payers(&customer),
        Period::of(row.began),
        Money::ZERO,
        cost,
    );
}
