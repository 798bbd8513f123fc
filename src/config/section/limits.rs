//! `[limits]`, and the `limits` of keys and providers

use std::collections::BTreeMap;

use bytestring::ByteString;

use crate::config::node::Node;
use crate::config::quantity;
use crate::config::schema::{LIMIT, LIMITS, ON_EXCEEDED};
use crate::config::table::Table;
use crate::limits::{Limit, RESERVE_OUTPUT, Settings};

/// The most that can be reserved for an answer, tokens: more than any model writes.
const MOST_RESERVED: u64 = 10_000_000;

/// The limits that belong neither to a key nor to a provider.
pub(in crate::config) fn limits(root: &Table<'_, '_>) -> Settings {
    root.section("limits", LIMITS, section).unwrap_or_default()
}

fn section(table: &Table<'_, '_>) -> Settings {
    let one = |name: &str| table.read(name, limit).unwrap_or_default();
    Settings {
        global: one("global"),
        ip: one("ip"),
        user: one("user"),
        teams: named(table, "teams"),
        models: named(table, "models"),
        reserve_output: table
            .read("reserve_output", |node| node.number(0, MOST_RESERVED))
            .unwrap_or(RESERVE_OUTPUT),
        cut: table.read("on_exceeded", |node| node.word(ON_EXCEEDED)) == Some("cut"),
        ..Settings::default()
    }
}

/// Limits by name.
fn named(table: &Table<'_, '_>, key: &str) -> BTreeMap<ByteString, Limit> {
    let read = |node: &Node<'_, '_>| {
        Some(Table::open_any(node)?.each(|name, node| Some((name.into(), limit(node)?))))
    };
    table
        .read(key, read)
        .unwrap_or_default()
        .into_iter()
        .collect()
}

/// One limit.
pub(in crate::config) fn limit(node: &Node<'_, '_>) -> Option<Limit> {
    let table = Table::open(node, LIMIT)?;
    if table.has("burst") && !table.has("requests_per_minute") {
        table.misplaced(
            "burst",
            "there is no `requests_per_minute` that it could be a burst of",
            "set `requests_per_minute` as well",
        );
    }
    let figure = |name: &str| table.read(name, quantity::figure);
    Some(Limit {
        requests_per_minute: figure("requests_per_minute"),
        tokens_per_minute: figure("tokens_per_minute"),
        concurrent_streams: figure("concurrent_streams"),
        burst: figure("burst"),
    })
}
