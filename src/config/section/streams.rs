//! `[streams]`

use crate::codec::quantity::parse_duration;
use crate::config::node::Node;
use crate::config::quantity;
use crate::config::schema::STREAMS;
use crate::config::table::Table;
use crate::hub::{OnDisconnect, Settings};
use crate::{gateway, hub};

/// Reads the bounds of journals (settings of the hub) and the times of responses (settings of the
/// gateway).
pub(in crate::config) fn streams(
    root: &Table<'_, '_>,
    (max_body, playground): (usize, bool),
) -> (Settings, gateway::Settings) {
    let read = |table: &Table<'_, '_>| (hub_settings(table), gateway_settings(table));
    let (hub, gateway) = root.section("streams", STREAMS, read).unwrap_or_default();
    (
        hub,
        gateway::Settings {
            max_body,
            playground,
            ..gateway
        },
    )
}

fn hub_settings(table: &Table<'_, '_>) -> Settings {
    let default = hub::Settings::default();
    Settings {
        retention: table
            .read("retention", quantity::duration)
            .unwrap_or(default.retention),
        memory: table
            .read("memory", quantity::size)
            .unwrap_or(default.memory),
        max_stream: table
            .read("max_stream", quantity::size)
            .unwrap_or(default.max_stream),
        readers: table
            .read("readers", quantity::count)
            .unwrap_or(default.readers),
        on_disconnect: table.read("on_disconnect", on_disconnect),
    }
}

fn gateway_settings(table: &Table<'_, '_>) -> gateway::Settings {
    let default = gateway::Settings::default();
    gateway::Settings {
        commit_after: table
            .read("commit_after", quantity::duration)
            .unwrap_or(default.commit_after),
        heartbeat: table
            .read("heartbeat", quantity::positive_duration)
            .unwrap_or(default.heartbeat),
        ..default
    }
}

fn on_disconnect(node: &Node<'_, '_>) -> Option<OnDisconnect> {
    const EXPECTED: &str = "\"cancel\", \"continue\" or \"grace 15s\"";
    let text = node.text_or(EXPECTED)?;
    let grace = text.value.strip_prefix("grace ").and_then(parse_duration);
    match (text.value.as_str(), grace) {
        ("cancel", _) => Some(OnDisconnect::Cancel),
        ("continue", _) => Some(OnDisconnect::Continue),
        (_, Some(grace)) if grace <= quantity::MAX_DURATION => Some(OnDisconnect::Grace(grace)),
        ("grace", _) => node.refuse_with(
            format!("expected {EXPECTED}"),
            "add a duration: \"grace 15s\"",
        ),
        _ => node.refuse(format!("expected {EXPECTED}, found {}", text.quoted())),
    }
}
