//! `[providers]`: the providers and the connection to each. Keys that only one preset has are read
//! in submodules.

mod azure;
mod bedrock;
mod connection;
mod headers;
mod record;
mod selection;
mod vertex;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use secrecy::SecretString;

use connection::{Connection, base_url, key_credential};
use selection::{Selection, selection};

use super::prices::PriceList;
use super::{access, limits};
use crate::config::node::Node;
use crate::config::presets::{Kind, Protocol};
use crate::config::schema::{PROVIDER, TIMEOUTS};
use crate::config::table::Table;
use crate::config::{address, quantity};
use crate::model::limit::Limit;
use crate::model::quirks::Quirks;
use crate::model::target::{Clocks, Credential, Prices, Provider, Replay, Via};
use crate::wire;

/// The valid providers, and the names of all providers, including wrong ones.
#[derive(Default)]
pub(in crate::config) struct Providers {
    /// The providers by name.
    pub(in crate::config) providers: BTreeMap<ByteString, Arc<Provider>>,
    /// Limits by provider name.
    pub(in crate::config) limits: BTreeMap<ByteString, Limit>,
    /// The names of all `[providers.<name>]` sections, including wrong ones.
    pub(in crate::config) names: Vec<String>,
}

/// Keys of providers that are reached over HTTP.
const HTTP_ONLY: [&str; 8] = [
    "base_url",
    "api_key",
    "headers",
    "timeouts",
    "http2",
    "max_output",
    "proxy",
    "ca_file",
];

/// Keys of providers that play recordings.
const REPLAY_ONLY: [&str; 2] = ["dir", "pace"];

/// Keys that only one preset has, with its kind and name.
const PRESET_KEYS: [(Kind, &str, &[&str]); 3] = [
    (Kind::Azure, "azure", &azure::KEYS),
    (Kind::Bedrock, "bedrock", &bedrock::KEYS),
    (Kind::Vertex, "vertex", &vertex::KEYS),
];

/// Default output maximum in tokens, sent if the wire requires one and the client named none.
const MAX_OUTPUT: u64 = 8192;

/// Reads `[providers]`, with the prices of `[prices]`.
pub(in crate::config) fn providers(root: &Table<'_, '_>) -> Providers {
    let read = |node: &Node<'_, '_>| {
        let table = Table::open_any(node)?;
        let prices = PriceList::read(root, &table.names());
        let names = table.names().into_iter().map(str::to_owned).collect();
        let mut limits = BTreeMap::new();
        let providers = table.each(|name, node| provider(name, node, &mut limits));
        let priced = |provider: Provider| Provider {
            prices: prices.for_provider(&provider.name),
            ..provider
        };
        let providers = providers
            .into_iter()
            .map(|it| (it.name.clone(), Arc::new(priced(it))))
            .collect();
        Some(Providers {
            providers,
            limits,
            names,
        })
    };
    root.read("providers", read).unwrap_or_default()
}

fn provider(
    name: &str,
    node: &Node<'_, '_>,
    limits: &mut BTreeMap<ByteString, Limit>,
) -> Option<Provider> {
    let table = Table::open(node, PROVIDER)?;
    limits.extend(
        table
            .read("limits", limits::limit)
            .map(|limit| (name.into(), limit)),
    );
    // All keys are read before the first early return, so that every problem is reported.
    let named = check_name(name, &table);
    let key = table.read("api_key", access::token).map(SecretString::from);
    let common_settings = common_settings(&table);
    let selection = selection(name, &table)?;
    report_inapplicable_keys(&table, selection);
    let connection = connection(&table, selection, key);
    named?;
    let Connection {
        via,
        credential,
        models,
        quirks,
    } = connection?;
    Some(Provider {
        name: name.into(),
        via,
        credential,
        models,
        quirks,
        ..common_settings
    })
}

/// Reports keys that do not apply to the selected protocol and preset.
fn report_inapplicable_keys(table: &Table<'_, '_>, selection: Selection) {
    let (foreign, kind): (&[&str], _) = if selection.protocol == Protocol::Replay {
        (&HTTP_ONLY, "`replay` plays files from `dir`")
    } else {
        (&REPLAY_ONLY, "only `replay` uses it")
    };
    for key in foreign {
        table.misplaced(
            key,
            format!("does not apply to {}", selection.name()),
            format!("remove it: {kind}"),
        );
    }
    for (_, name, keys) in PRESET_KEYS
        .iter()
        .filter(|(kind, ..)| selection.kind() != Some(*kind))
    {
        for key in *keys {
            table.misplaced(
                key,
                format!("does not apply to {}", selection.name()),
                format!("remove it: only the preset {name:?} uses it"),
            );
        }
    }
}

fn connection(
    table: &Table<'_, '_>,
    selection: Selection,
    key: Option<SecretString>,
) -> Option<Connection> {
    let Protocol::Http(wire) = selection.protocol else {
        let via = Via::Replay(replay(table)?);
        return Some(Connection {
            via,
            credential: Credential::None,
            models: BTreeMap::new(),
            quirks: Quirks::NONE,
        });
    };
    let Some((preset, endpoint)) = selection.preset else {
        let base_url = base_url(table, selection)?;
        return Some(Connection::http(
            wire,
            base_url,
            key_credential(key, wire::for_id(wire).auth()),
            selection.protocol.quirks(),
        ));
    };
    let auth = endpoint.auth.unwrap_or_else(|| wire::for_id(wire).auth());
    let quirks = preset.quirks(endpoint);
    match preset.kind {
        Kind::Azure => azure::connection(table, wire, auth, quirks, key),
        Kind::Bedrock => bedrock::connection(table, wire, auth, quirks, key),
        Kind::Vertex => vertex::connection(table, wire, auth, quirks, key),
        Kind::Keyed | Kind::Local | Kind::Replay => Some(Connection::http(
            wire,
            base_url(table, selection)?,
            key_credential(key, auth),
            quirks,
        )),
    }
}

fn check_name(name: &str, table: &Table<'_, '_>) -> Option<()> {
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain {
        return Some(());
    }
    table.missing(
        "",
        "the name of a provider may contain only letters, digits, `-`, `_` and `.`",
        "routes write it before their first slash: \"name/model\"",
    )
}

/// Reads the keys that do not depend on the wire. The caller fills in the other fields.
fn common_settings(table: &Table<'_, '_>) -> Provider {
    Provider {
        name: ByteString::new(),
        via: Via::Replay(Replay {
            dir: std::path::PathBuf::new(),
            pace: None,
        }),
        credential: Credential::None,
        headers: table.read("headers", headers::headers).unwrap_or_default(),
        clocks: table
            .section("timeouts", TIMEOUTS, clocks)
            .unwrap_or_default(),
        http2: table.read("http2", |node| node.boolean()).unwrap_or(false),
        max_output: table
            .read("max_output", |node| node.number(1, u32::MAX.into()))
            .unwrap_or(MAX_OUTPUT),
        direct: table.read("direct", |node| node.boolean()).unwrap_or(false),
        models: BTreeMap::new(),
        prices: Prices::default(),
        on_cancel: record::on_cancel(table),
        record: record::record(table),
        quirks: Quirks::NONE,
        proxy: table.read("proxy", address::proxy),
        ca_file: table.read("ca_file", address::file),
    }
}

fn replay(table: &Table<'_, '_>) -> Option<Replay> {
    let pace = table.read("pace", quantity::duration);
    if !table.has("dir") {
        return table.missing(
            "dir",
            "missing",
            "set the folder of recordings: dir = \"demo\"",
        );
    }
    Some(Replay {
        dir: table.read("dir", address::folder)?,
        pace,
    })
}

fn clocks(table: &Table<'_, '_>) -> Clocks {
    let default = Clocks::default();
    let clock = |key: &str, default: Duration| {
        table
            .read(key, quantity::positive_duration)
            .unwrap_or(default)
    };
    Clocks {
        connect: clock("connect", default.connect),
        headers: clock("headers", default.headers),
        first_token: clock("first_token", default.first_token),
        idle: clock("idle", default.idle),
        total: clock("total", default.total),
    }
}
