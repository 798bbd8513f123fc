//! Restores the spending and the streams that a crash cut off from the rows, at start.

use std::collections::HashMap;

use super::accounts::Accounts;
use super::bill::unsettled;
use super::files::{self, FileProblem, Files};
use super::period::Month;
use super::row::Row;
use super::{Budgets, Customer, Period};
use crate::model::money::Money;

/// The error code of a stream that a crash cut off.
const LOST: &str = "lost";
/// Number of files read, newest first: the current month's for the spending, and the one before it,
/// whose last streams may have been running when the process ended.
const MONTHS_READ: usize = 2;

/// The restored state.
pub(super) struct Restored {
    pub(super) accounts: Accounts,
    /// Rows that close the streams that were cut off; the caller writes them.
    pub(super) lost: Vec<Row<'static>>,
    /// Number of lines that are not rows.
    pub(super) damaged: usize,
}

/// Reads the spending in the month of `now` and the streams that were cut off.
pub(super) fn restore(files: &Files, budgets: &Budgets, now: u64) -> Result<Restored, FileProblem> {
    let mut found = Restored {
        accounts: Accounts::default(),
        lost: Vec::new(),
        damaged: 0,
    };
    let months = files.months()?;
    for (month, path) in months.iter().skip(months.len().saturating_sub(MONTHS_READ)) {
        let mut open: HashMap<String, Row<'static>> = HashMap::new();
        // Budgets cover at most a calendar month: older rows are spent and gone.
        let counts = *month == Month::from_ms(now);
        found.damaged += files::read_rows::<FileProblem>(path, |row| {
            if row.ended.is_none() {
                open.insert(row.id.clone().into_owned(), row.into_owned());
                return Ok(());
            }
            // A line that occurs twice counts once.
            if open.remove(&*row.id).is_some() && counts {
                charge(&mut found.accounts, budgets, &row);
            }
            Ok(())
        })?;
        let mut lost: Vec<_> = open.into_values().map(|row| unsettled(row, LOST)).collect();
        // The map has no order: rows are written in the order in which their streams began.
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
        Period::from_ms(row.began),
        Money::ZERO,
        cost,
    );
}
