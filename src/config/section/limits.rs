//! `[limits]`, and the `limits` of keys and providers.

use std::collections::BTreeMap;

use bytestring::ByteString;

use crate::config::node::Node;
use crate::config::quantity;
use crate::config::schema::{LIMIT, LIMITS, ON_EXCEEDED};
use crate::config::table::Table;
use crate::limits::{RESERVE_OUTPUT, Settings};
use crate::model::limit::Limit;

/// Maximum number of tokens reserved for an answer: more than any model generates.
const MAX_RESERVED: u64 = 10_000_000;

/// Reads `[limits]`: the limits that belong neither to a key nor to a provider.
pub(in crate::config) fn limits(root: &Table<'_, '_>) -> Settings {
    root.section("limits", LIMITS, section).unwrap_or_default()
}

fn section(table: &Table<'_, '_>) -> Settings {
    let one = |name: &str| table.read(name, limit).unwrap_or_default();
    Settings {
        global: one("global"),
        ip: one("ip"),
        user: one("user"),
        teams: limits_by_name(table, "teams"),
        models: limits_by_name(table, "models"),
        reserve_output: table
            .read("reserve_output", |node| node.number(0, MAX_RESERVED))
            .unwrap_or(RESERVE_OUTPUT),
        cut: table.read("on_exceeded", |node| node.one_of(ON_EXCEEDED)) == Some("cut"),
        ..Settings::default()
    }
}

/// Reads a table of limits by name.
fn limits_by_name(table: &Table<'_, '_>, key: &str) -> BTreeMap<ByteString, Limit> {
    let read = |node: &Node<'_, '_>| {
        Some(Table::open_any(node)?.each(|name, node| Some((name.into(), limit(node)?))))
    };
    table
        .read(key, read)
        .unwrap_or_default()
        .into_iter()
        .collect()
}

/// Reads one limit.
pub(in crate::config) fn limit(node: &Node<'_, '_>) -> Option<Limit> {
    let table = Table::open(node, LIMIT)?;
    if table.has("burst") && !table.has("requests_per_minute") {
        table.misplaced(
            "burst",
            "has no effect without `requests_per_minute`",
            "set `requests_per_minute` as well",
        );
    }
    let figure = |name: &str| table.read(name, quantity::nonzero);
    Some(Limit {
        requests_per_minute: figure("requests_per_minute"),
        tokens_per_minute: figure("tokens_per_minute"),
        concurrent_streams: figure("concurrent_streams"),
        burst: figure("burst"),
    })
}
