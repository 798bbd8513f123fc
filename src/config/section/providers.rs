//! `[providers]`: the providers and the connection to each. Keys that only one preset has are read
//! in submodules.

mod azure;
mod bedrock;
mod record;
mod vertex;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::prices::PriceList;
use super::{access, limits};
use crate::config::node::Node;
use crate::config::presets::{Endpoint, Kind, NAMES, Preset, Protocol};
use crate::config::schema::{PROVIDER, TIMEOUTS, WIRES};
use crate::config::table::Table;
use crate::config::{address, quantity};
use crate::limits::Limit;
use crate::model::quirks::Quirks;
use crate::model::target::{Auth, Clocks, Credential, Prices, Provider, Replay, Via};
use crate::model::wire::WireId;
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

/// Headers that Sluicegate sets itself: they belong to the connection or to the body.
const RESERVED_HEADERS: [&str; 11] = [
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

/// The protocol of a provider, and its preset and endpoint if it has one.
#[derive(Clone, Copy)]
struct Selection {
    protocol: Protocol,
    preset: Option<(&'static Preset, &'static Endpoint)>,
}

impl Selection {
    fn of(preset: &'static Preset, endpoint: &'static Endpoint) -> Self {
        Self {
            protocol: endpoint.protocol,
            preset: Some((preset, endpoint)),
        }
    }

    fn kind(self) -> Option<Kind> {
        self.preset.map(|(preset, _)| preset.kind)
    }

    /// Returns its name for messages.
    fn name(self) -> String {
        match self.preset {
            Some((preset, _)) if preset.kind != Kind::Replay => {
                format!("the preset {:?}", preset.name)
            }
            _ => format!("the wire {:?}", self.protocol.name()),
        }
    }
}

/// The connection to a provider: transport, credential, renamed models, and quirks.
struct Connection {
    via: Via,
    credential: Credential,
    models: BTreeMap<ByteString, ByteString>,
    quirks: Quirks,
}

impl Connection {
    /// Returns a connection over HTTP without a query and without renamed models.
    fn http(wire: WireId, base_url: String, credential: Credential, quirks: Quirks) -> Self {
        Self {
            via: Via::Http {
                wire,
                base_url,
                query: None,
            },
            credential,
            models: BTreeMap::new(),
            quirks,
        }
    }
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

/// Returns the credential for an API key that is sent in the header of `auth`; none without a key.
fn key_credential(key: Option<SecretString>, auth: Auth) -> Credential {
    key.map_or(Credential::None, |key| Credential::Key { key, auth })
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
        headers: table.read("headers", headers).unwrap_or_default(),
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

/// Selects protocol, preset and endpoint from `preset`, `wire` and the provider's name.
fn selection(name: &str, table: &Table<'_, '_>) -> Option<Selection> {
    // `Some(None)` is a wrong wire: it is reported, and the name's preset must not replace it.
    let wire = table.read("wire", |node| {
        Some(node.one_of(WIRES).and_then(Protocol::from_name))
    });
    if table.has("preset") {
        let preset = table
            .read("preset", |node| node.one_of(NAMES))
            .and_then(Preset::from_name)?;
        let default_endpoint = preset.default_endpoint()?;
        return Some(Selection::of(
            preset,
            wire.flatten().map_or(default_endpoint, |wire| {
                preset
                    .endpoint(wire)
                    .unwrap_or_else(|| report_wrong_wire(table, preset, default_endpoint))
            }),
        ));
    }
    let Some(wire) = wire else {
        return select_by_name(name, table);
    };
    let wire = wire?;
    // Only AWS has Bedrock's wire, and it needs a region, so the wire implies the preset.
    let named = if wire == Protocol::Http(WireId::Bedrock) {
        Preset::from_name("bedrock")
    } else {
        Preset::from_name(name)
    };
    let endpoint = named.and_then(|preset| Some((preset, preset.endpoint(wire)?)));
    Some(Selection {
        protocol: wire,
        preset: endpoint,
    })
}

/// Reports a wire that the preset does not have. Returns the default endpoint instead.
fn report_wrong_wire(
    table: &Table<'_, '_>,
    preset: &Preset,
    default_endpoint: &'static Endpoint,
) -> &'static Endpoint {
    let wires: Vec<_> = preset
        .endpoints
        .iter()
        .map(|endpoint| format!("{:?}", endpoint.protocol.name()))
        .collect();
    let message = format!("the preset {:?} supports {}", preset.name, wires.join(", "));
    table.misplaced("wire", message, "use one of these, or remove `preset`");
    default_endpoint
}

/// Selects the preset that is named like the table.
fn select_by_name(name: &str, table: &Table<'_, '_>) -> Option<Selection> {
    let Some((preset, default_endpoint)) =
        Preset::from_name(name).and_then(|preset| Some((preset, preset.default_endpoint()?)))
    else {
        let help = "set `preset` to a known provider (`sluicegate providers` lists them), or `wire` and `base_url`";
        return table.missing(
            "",
            "neither `preset` nor `wire` is set, and its name is not that of a preset",
            help,
        );
    };
    Some(Selection::of(preset, default_endpoint))
}

fn base_url(table: &Table<'_, '_>, selection: Selection) -> Option<String> {
    if table.has("base_url") {
        return table.read("base_url", address::base_url);
    }
    let Some((preset, endpoint)) = selection.preset else {
        return table.missing(
            "base_url",
            "missing",
            format!(
                "set the address of the server: base_url = {:?}",
                selection.protocol.example_address()
            ),
        );
    };
    // At its own address such a provider rejects requests without a key. `headers` may carry one.
    if preset.kind == Kind::Keyed && !table.has("api_key") && !table.has("headers") {
        return table.missing(
            "api_key",
            "missing",
            format!("set api_key = \"${{{}}}\"", preset.key_variable),
        );
    }
    Some(endpoint.address.to_owned())
}

/// Reads `base_url`. An address without a path gets the provider's usual `path` appended.
fn overriding_base_url(
    table: &Table<'_, '_>,
    path: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let url = table.read("base_url", address::base_url)?;
    let bare = url
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.contains('/'));
    if bare {
        Some(url + &path()?)
    } else {
        Some(url)
    }
}

/// Reads a value that becomes part of a host or a path: letters, digits, `-`, `_`, `.` and `:`.
fn url_word(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if !text.value.is_empty() && text.value.bytes().all(allowed) {
        return Some(text.value);
    }
    node.refuse(format!(
        "expected a name of letters, digits, `-`, `_`, `.` and `:`, found {}",
        text.quoted()
    ))
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

fn headers(node: &Node<'_, '_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let table = Table::open_any(node)?;
    Some(table.each(header))
}

fn header(name: &str, node: &Node<'_, '_>) -> Option<(HeaderName, HeaderValue)> {
    let Ok(header) = name.parse::<HeaderName>() else {
        return node.refuse("this is not a valid header name");
    };
    if RESERVED_HEADERS.contains(&header.as_str()) {
        return node.refuse_with("Sluicegate sets this header itself", "remove it");
    }
    match HeaderValue::try_from(node.secret()?.value) {
        Ok(mut value) => {
            // A header may carry a credential; `Debug` hides sensitive values.
            value.set_sensitive(true);
            Some((header, value))
        }
        Err(_) => node.refuse_with(
            "the value cannot be sent in a header",
            "remove line breaks and control characters",
        ),
    }
}
