//! `[limits]`, and the `limits` of keys

use crate::config::node::Node;
use crate::config::quantity;
use crate::config::schema::{IP_LIMIT, Keys, LIMIT, LIMITS, ON_EXCEEDED};
use crate::config::table::Table;
use crate::limits::{Limit, Settings};

/// The limits that do not belong to a key.
pub(in crate::config) fn limits(root: &Table<'_, '_>) -> Settings {
    let read = |table: &Table<'_, '_>| {
        table.read("on_exceeded", |node| node.word(ON_EXCEEDED));
        let global = table.read("global", limit).unwrap_or_default();
        Settings { global, ip: table.read("ip", |node| figures(node, IP_LIMIT)).unwrap_or_default() }
    };
    root.section("limits", LIMITS, read).unwrap_or_default()
}

/// One limit.
pub(in crate::config) fn limit(node: &Node<'_, '_>) -> Option<Limit> {
    figures(node, LIMIT)
}

fn figures(node: &Node<'_, '_>, keys: Keys) -> Option<Limit> {
    let table = Table::open(node, keys)?;
    if table.has("burst") && !table.has("requests_per_minute") {
        table.misplaced("burst", "there is no `requests_per_minute` that it could be a burst of", "set `requests_per_minute` as well");
    }
    let concurrent = keys.iter().any(|key| matches!(key, crate::config::schema::Key::Built("concurrent_streams")));
    Some(Limit {
        requests_per_minute: table.read("requests_per_minute", quantity::figure),
        concurrent_streams: if concurrent { table.read("concurrent_streams", quantity::figure) } else { None },
        burst: table.read("burst", quantity::figure),
    })
}
