//! `[providers]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use http::{HeaderName, HeaderValue};

use super::access;
use crate::config::node::Node;
use crate::config::presets::{Preset, Speaks, WORDS};
use crate::config::schema::{ON_CANCEL, PROVIDER, TIMEOUTS, WIRES};
use crate::config::table::Table;
use crate::config::{address, quantity};
use crate::model::target::{Account, Clocks, Replay, Via};

/// The accounts, and the names of all providers, those that are wrong included.
#[derive(Default)]
pub(in crate::config) struct Providers {
    /// The accounts by name.
    pub(in crate::config) accounts: BTreeMap<ByteString, Arc<Account>>,
    /// Every name that the file gives to a provider.
    pub(in crate::config) names: Vec<String>,
}

/// Keys that say how an upstream is reached over HTTP.
const HTTP_ONLY: [&str; 8] = ["base_url", "api_key", "headers", "timeouts", "http2", "max_output", "proxy", "ca_file"];

/// Keys that say what is played.
const REPLAY_ONLY: [&str; 2] = ["dir", "pace"];

/// Headers that belong to the connection, to the body or to us.
const OURS: [&str; 11] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
    "accept-encoding",
];

/// The output maximum where the wire demands one and nobody said any.
const MAX_OUTPUT: u64 = 8192;

/// Reads all providers.
pub(in crate::config) fn providers(root: &Table<'_, '_>) -> Providers {
    let read = |node: &Node<'_, '_>| {
        let table = Table::open_any(node)?;
        let names = table.names().into_iter().map(str::to_owned).collect();
        let accounts = table.each(account).into_iter().map(|account| (account.name.clone(), Arc::new(account))).collect();
        Some(Providers { accounts, names })
    };
    root.read("providers", read).unwrap_or_default()
}

fn account(name: &str, node: &Node<'_, '_>) -> Option<Account> {
    let table = Table::open(node, PROVIDER)?;
    let named = check_name(name, &table);
    table.read("on_cancel", |node| node.word(ON_CANCEL));
    let rest = rest(&table);
    let (speaks, preset) = speaks(name, &table)?;
    let (foreign, kind): (&[&str], _) = if speaks == Speaks::Replay {
        (&HTTP_ONLY, "recordings are played from a folder")
    } else {
        (&REPLAY_ONLY, "only `replay` plays recordings")
    };
    for key in foreign {
        table.misplaced(key, format!("it means nothing to the wire {:?}", speaks.name()), format!("leave it out: {kind}"));
    }
    let via = via(&table, speaks, preset);
    named?;
    let quirks = preset.map_or_else(|| speaks.quirks(), |preset| preset.quirks);
    Some(Account { name: name.into(), via: via?, quirks, ..rest })
}

fn check_name(name: &str, table: &Table<'_, '_>) -> Option<()> {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain {
        return Some(());
    }
    table.missing(
        "",
        "a provider's name has letters, digits, `-`, `_` and `.` alone",
        "routes name it before their first slash: \"name/model\"",
    )
}

/// What does not depend on the wire. Name, way and quirks are filled in by the caller.
fn rest(table: &Table<'_, '_>) -> Account {
    Account {
        name: ByteString::new(),
        via: Via::Replay(Replay { dir: std::path::PathBuf::new(), pace: None }),
        key: table.read("api_key", access::token).map(Into::into),
        headers: table.read("headers", headers).unwrap_or_default(),
        clocks: table.section("timeouts", TIMEOUTS, clocks).unwrap_or_default(),
        http2: table.read("http2", |node| node.boolean()).unwrap_or(false),
        max_output: table.read("max_output", |node| node.number(1, u32::MAX.into())).unwrap_or(MAX_OUTPUT),
        direct: table.read("direct", |node| node.boolean()).unwrap_or(false),
        quirks: crate::model::target::Quirks::default(),
        proxy: table.read("proxy", address::proxy),
        ca_file: table.read("ca_file", address::file),
    }
}

/// What it speaks, and the preset that says so where one does.
fn speaks(name: &str, table: &Table<'_, '_>) -> Option<(Speaks, Option<&'static Preset>)> {
    let wire = table.read("wire", |node| Some(node.word(WIRES).and_then(Speaks::named)));
    if table.has("preset") {
        let preset = table.read("preset", |node| node.word(WORDS)).and_then(Preset::named);
        // A wire that is wrong has been told; one that is not the preset's is told here.
        if let (Some(preset), Some(Some(wire))) = (preset, wire)
            && preset.speaks != wire
        {
            let message = format!("the preset {:?} speaks {:?}", preset.name, preset.speaks.name());
            table.misplaced("wire", message, "leave out `wire` or `preset`");
        }
        return preset.map(|preset| (preset.speaks, Some(preset)));
    }
    match wire {
        Some(wire) => wire.map(|wire| (wire, Preset::named(name).filter(|preset| preset.speaks == wire))),
        None => by_name(name, table).map(|preset| (preset.speaks, Some(preset))),
    }
}

/// A table's name is its preset where it is a known one.
fn by_name(name: &str, table: &Table<'_, '_>) -> Option<&'static Preset> {
    use crate::config::schema::Word;
    match WORDS.iter().find(|word| word.name() == name) {
        Some(Word::Built(name)) => Preset::named(name),
        Some(Word::Later(name, instead)) => table.missing("", format!("the preset `{name}` is not built yet"), *instead),
        None => {
            let help = "set `preset = \"openai\"` (or anthropic, gemini, replay), or `wire` and `base_url`";
            table.missing("", "it has neither `preset` nor `wire`, and its name is no known preset", help)
        }
    }
}

fn via(table: &Table<'_, '_>, speaks: Speaks, preset: Option<&Preset>) -> Option<Via> {
    match speaks {
        Speaks::Replay => replay(table).map(Via::Replay),
        Speaks::Http(wire) => {
            let base_url = base_url(table, speaks, preset);
            Some(Via::Http { wire, base_url: base_url? })
        }
    }
}

fn base_url(table: &Table<'_, '_>, speaks: Speaks, preset: Option<&Preset>) -> Option<String> {
    if table.has("base_url") {
        return table.read("base_url", address::base_url);
    }
    let Some((preset, base_url)) = preset.and_then(|preset| Some((preset, preset.base_url?))) else {
        return table.missing("base_url", "missing", format!("say where the upstream is: base_url = {:?}", speaks.home()));
    };
    // At its own address a preset's provider answers nobody without a key.
    if !table.has("api_key") && !table.has("headers") {
        return table.missing("api_key", "missing", format!("write api_key = \"${{{}}}\"", preset.variable));
    }
    Some(base_url.to_owned())
}

fn replay(table: &Table<'_, '_>) -> Option<Replay> {
    let pace = table.read("pace", quantity::duration);
    if !table.has("dir") {
        return table.missing("dir", "missing", "name the folder of recordings: dir = \"demo\"");
    }
    Some(Replay { dir: table.read("dir", address::folder)?, pace })
}

fn clocks(table: &Table<'_, '_>) -> Clocks {
    let default = Clocks::default();
    let clock = |key: &str, default: Duration| table.read(key, quantity::span).unwrap_or(default);
    Clocks {
        connect: clock("connect", default.connect),
        headers: clock("headers", default.headers),
        first_token: clock("first_token", default.first_token),
        idle: clock("idle", default.idle),
        total: clock("total", default.total),
    }
}

fn headers(node: &Node<'_, '_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let table = Table::open_any(node)?;
    Some(table.each(header))
}

fn header(name: &str, node: &Node<'_, '_>) -> Option<(HeaderName, HeaderValue)> {
    let Ok(header) = name.parse::<HeaderName>() else {
        return node.refuse("it is not the name of a header");
    };
    if OURS.contains(&header.as_str()) {
        return node.refuse_with("this header is made by Sluicegate", "leave it out");
    }
    match HeaderValue::try_from(node.secret()?.value) {
        Ok(mut value) => {
            // Its `Debug` then hides it: a header may carry a credential.
            value.set_sensitive(true);
            Some((header, value))
        }
        Err(_) => node.refuse_with("it cannot be sent as a header", "leave out line breaks and control characters"),
    }
}
