//! `[telemetry]`

use crate::config::node::Node;
use crate::config::schema::{FORMATS, TELEMETRY};
use crate::config::table::Table;
use crate::telemetry::{Settings, parse_filter};

/// Reads the log settings.
pub(in crate::config) fn telemetry(root: &Table<'_, '_>) -> Settings {
    let read = |table: &Table<'_, '_>| Settings {
        log: table.read("log", filter).unwrap_or_else(|| "info".into()),
        json: table.read("format", |node| node.one_of(FORMATS)) == Some("json"),
    };
    root.section("telemetry", TELEMETRY, read)
        .unwrap_or_default()
}

fn filter(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    // A filter takes any word for the name of a module, so a misspelt level would silence the
    // log.
    let level = text.value.contains([',', '=', ':'])
        || LEVELS.contains(&text.value.to_ascii_lowercase().as_str());
    if level && parse_filter(&text.value).is_ok() {
        return Some(text.value);
    }
    let help = "use one of trace, debug, info, warn, error, off; or set levels by module: \"info,sluicegate=debug\"";
    node.refuse_with(
        format!("expected a log filter, found {}", text.quoted()),
        help,
    )
}

const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];
