//! `data_dir`, `[budgets]`, and the `budget` of keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytestring::ByteString;
use toml::de::DeValue;

use super::prices::amount;
use crate::config::address;
use crate::config::node::Node;
use crate::config::schema::{BUDGET, BUDGETS};
use crate::config::table::Table;
use crate::ledger::{Budget, Budgets, WARN_AT};
use crate::model::money::Money;

/// Reads `[budgets]`; `keys` are the budgets of keys, which `[keys]` has configured.
pub(in crate::config) fn budgets(
    root: &Table<'_, '_>,
    keys: BTreeMap<ByteString, Budget>,
) -> Budgets {
    let read = |table: &Table<'_, '_>| {
        let one = |name: &str| table.read(name, budget).unwrap_or_default();
        let teams = table.read("teams", |node| {
            Some(Table::open_any(node)?.each(|name, node| Some((name.into(), budget(node)?))))
        });
        let budgets = Budgets {
            global: one("global"),
            user: one("user"),
            keys: BTreeMap::new(),
            teams: teams.unwrap_or_default().into_iter().collect(),
            cut: false,
        };
        (budgets, table.read("warn_at", percentage))
    };
    let (mut budgets, warn_at) = root.section("budgets", BUDGETS, read).unwrap_or_default();
    budgets.keys = keys;
    let named = budgets.keys.values_mut().chain(budgets.teams.values_mut());
    named
        .chain([&mut budgets.global, &mut budgets.user])
        .for_each(|budget| budget.warn_at = warn_at.unwrap_or(WARN_AT));
    budgets
}

/// Reads `data_dir`, the folder of the ledger. The folder need not exist yet.
pub(in crate::config) fn data_dir(root: &Table<'_, '_>) -> Option<PathBuf> {
    root.read("data_dir", address::future_folder)
}

/// Reads one budget.
pub(in crate::config) fn budget(node: &Node<'_, '_>) -> Option<Budget> {
    let table = Table::open(node, BUDGET)?;
    if !BUDGET.iter().any(|key| table.has(key.name())) {
        return table.missing(
            "",
            "a budget needs `day` or `month`",
            "set an amount: { day = 20.0, month = 300.0 }",
        );
    }
    let (day, month) = (
        table.optional("day", positive_amount),
        table.optional("month", positive_amount),
    );
    // Both are read before the first return, so that problems of both are reported.
    let (day, month) = (day?, month?);
    if day > month && month.is_some() {
        table.misplaced(
            "day",
            "the budget of a day must not exceed the budget of a month",
            "lower `day`, or raise `month`",
        );
    }
    Some(Budget {
        day,
        month,
        ..Budget::default()
    })
}

/// Reads an amount above zero.
fn positive_amount(node: &Node<'_, '_>) -> Option<Money> {
    let amount = amount(node)?;
    if amount.is_zero() {
        return node.refuse_with(
            "must be larger than zero: no request fits into an empty budget",
            "to switch a key off, set `disabled = true` on it",
        );
    }
    Some(amount)
}

/// Reads a share from 0 to 1. Returns it in percent.
fn percentage(node: &Node<'_, '_>) -> Option<u64> {
    const EXPECTED: &str = "a number from 0 to 1 like 0.8";
    if !matches!(
        node.value.get_ref(),
        DeValue::Float(_) | DeValue::Integer(_)
    ) {
        return node.public_mismatch(EXPECTED);
    }
    let share = amount(node)?;
    let whole = Money::from_nanos(1_000_000_000);
    if share > whole {
        return node.refuse_with(
            format!("expected {EXPECTED}"),
            "0.8 warns once 80 percent are spent",
        );
    }
    Some(share.percent_of(whole))
}
