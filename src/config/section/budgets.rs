//! `data_dir`, `[budgets]`, and the `budget` of keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytestring::ByteString;
use toml::de::DeValue;

use super::prices::amount;
use crate::config::node::Node;
use crate::config::schema::{BUDGET, BUDGETS};
use crate::config::table::Table;
use crate::ledger::{Budget, Budgets, WARN_AT};
use crate::model::money::Money;

/// Reads the section; `keys` are the budgets of keys.
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
        (budgets, table.read("warn_at", share))
    };
    let (mut budgets, warn_at) = root.section("budgets", BUDGETS, read).unwrap_or_default();
    budgets.keys = keys;
    let named = budgets.keys.values_mut().chain(budgets.teams.values_mut());
    named
        .chain([&mut budgets.global, &mut budgets.user])
        .for_each(|budget| budget.warn_at = warn_at.unwrap_or(WARN_AT));
    budgets
}

/// The folder of the ledger.
pub(in crate::config) fn data_dir(root: &Table<'_, '_>) -> Option<PathBuf> {
    root.read("data_dir", |node| {
        let text = node.text_or("the folder to keep data in")?;
        if text.value.is_empty() {
            return node.refuse_with(
                "it names no folder",
                "relative paths begin at the configuration's folder",
            );
        }
        let path = node.doc.resolve(&text.value);
        if path.exists() && !path.is_dir() {
            node.refuse(format!("{} is not a folder", text.quoted()))
        } else {
            Some(path)
        }
    })
}

/// One budget.
pub(in crate::config) fn budget(node: &Node<'_, '_>) -> Option<Budget> {
    let table = Table::open(node, BUDGET)?;
    if !BUDGET.iter().any(|key| table.has(key.name())) {
        return table.missing(
            "",
            "it limits nothing",
            "say how much: { day = 20.0, month = 300.0 }",
        );
    }
    let (day, month) = (table.optional("day", sum), table.optional("month", sum));
    let (day, month) = (day?, month?);
    if day > month && month.is_some() {
        table.misplaced(
            "day",
            "a day has more than its whole month",
            "a month's budget holds all its days",
        );
    }
    Some(Budget {
        day,
        month,
        ..Budget::default()
    })
}

/// An amount above zero.
fn sum(node: &Node<'_, '_>) -> Option<Money> {
    let amount = amount(node)?;
    if amount.is_zero() {
        return node.refuse_with(
            "nothing could be asked with a budget of zero",
            "set `disabled = true` on a key that is not to be used",
        );
    }
    Some(amount)
}

/// A share between 0 and 1, in percent.
fn share(node: &Node<'_, '_>) -> Option<u64> {
    const EXPECTED: &str = "a share like 0.8";
    if !matches!(
        node.value.get_ref(),
        DeValue::Float(_) | DeValue::Integer(_)
    ) {
        return node.unlike(EXPECTED);
    }
    let share = amount(node)?;
    let whole = Money::nanos(1_000_000_000);
    if share > whole {
        return node.refuse_with(
            format!("expected {EXPECTED}, at most 1"),
            "0.8 warns from 80 percent on",
        );
    }
    Some(share.percent_of(whole))
}
