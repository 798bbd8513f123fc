//! `[providers]`: providers, and how each is reached. What only one provider has is read in a file
//! of its own.

mod azure;
mod bedrock;
mod record;
mod vertex;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytestring::ByteString;
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::prices::PriceList;
use super::{access, limits};
use crate::config::node::Node;
use crate::config::presets::{Kind, Preset, Speaks, WORDS, Way};
use crate::config::schema::{PROVIDER, TIMEOUTS, WIRES};
use crate::config::table::Table;
use crate::config::{address, quantity};
use crate::limits::Limit;
use crate::model::quirks::Quirks;
use crate::model::target::{Auth, Clocks, Credential, Prices, Provider, Replay, Via};
use crate::model::wire::WireId;
use crate::wire;

/// The providers, and the names of all providers, those that are wrong included.
#[derive(Default)]
pub(in crate::config) struct Providers {
    /// The providers by name.
    pub(in crate::config) providers: BTreeMap<ByteString, Arc<Provider>>,
    /// Limits by provider name.
    pub(in crate::config) limits: BTreeMap<ByteString, Limit>,
    /// Every name that the file gives to a provider.
    pub(in crate::config) names: Vec<String>,
}

/// Keys that say how an upstream is reached over HTTP.
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

/// Keys that say what is played.
const REPLAY_ONLY: [&str; 2] = ["dir", "pace"];

/// Keys that one provider alone has: its preset's name, and they.
const OF_ONE: [(Kind, &str, &[&str]); 3] = [
    (Kind::Azure, "azure", &azure::KEYS),
    (Kind::Bedrock, "bedrock", &bedrock::KEYS),
    (Kind::Vertex, "vertex", &vertex::KEYS),
];

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
        let prices = PriceList::read(root, &table.names());
        let names = table.names().into_iter().map(str::to_owned).collect();
        let mut limits = BTreeMap::new();
        let providers = table.each(|name, node| provider(name, node, &mut limits));
        let priced = |provider: Provider| Provider {
            prices: prices.of(&provider.name),
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
    let named = check_name(name, &table);
    let key = table.read("api_key", access::token).map(SecretString::from);
    let rest = rest(&table);
    let asked = asked(name, &table)?;
    misplaced(&table, asked);
    let reached = reached(&table, asked, key);
    named?;
    let Reached {
        via,
        credential,
        models,
        quirks,
    } = reached?;
    Some(Provider {
        name: name.into(),
        via,
        credential,
        models,
        quirks,
        ..rest
    })
}

/// What an account is asked for, and the preset that says how, where one does.
#[derive(Clone, Copy)]
struct Asked {
    speaks: Speaks,
    preset: Option<(&'static Preset, &'static Way)>,
}

impl Asked {
    fn of(preset: &'static Preset, way: &'static Way) -> Self {
        Self {
            speaks: way.speaks,
            preset: Some((preset, way)),
        }
    }

    fn kind(self) -> Option<Kind> {
        self.preset.map(|(preset, _)| preset.kind)
    }

    /// How a message names it.
    fn name(self) -> String {
        match self.preset {
            Some((preset, _)) if preset.kind != Kind::Replay => {
                format!("the preset {:?}", preset.name)
            }
            _ => format!("the wire {:?}", self.speaks.name()),
        }
    }
}

/// How an account is reached.
struct Reached {
    via: Via,
    credential: Credential,
    models: BTreeMap<ByteString, ByteString>,
    quirks: Quirks,
}

impl Reached {
    /// Over HTTP, in this way.
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

/// Keys that mean nothing to what is asked.
fn misplaced(table: &Table<'_, '_>, asked: Asked) {
    let (foreign, kind): (&[&str], _) = if asked.speaks == Speaks::Replay {
        (&HTTP_ONLY, "recordings are played from a folder")
    } else {
        (&REPLAY_ONLY, "only `replay` plays recordings")
    };
    for key in foreign {
        table.misplaced(
            key,
            format!("it means nothing to {}", asked.name()),
            format!("leave it out: {kind}"),
        );
    }
    for (_, name, keys) in OF_ONE
        .iter()
        .filter(|(kind, ..)| asked.kind() != Some(*kind))
    {
        for key in *keys {
            table.misplaced(
                key,
                format!("it means nothing to {}", asked.name()),
                format!("leave it out: only the preset {name:?} has it"),
            );
        }
    }
}

fn reached(table: &Table<'_, '_>, asked: Asked, key: Option<SecretString>) -> Option<Reached> {
    let Speaks::Http(wire) = asked.speaks else {
        let via = Via::Replay(replay(table)?);
        return Some(Reached {
            via,
            credential: Credential::None,
            models: BTreeMap::new(),
            quirks: Quirks::NONE,
        });
    };
    let Some((preset, way)) = asked.preset else {
        let base_url = base_url(table, asked)?;
        return Some(Reached::http(
            wire,
            base_url,
            carried(key, wire::of(wire).auth()),
            asked.speaks.quirks(),
        ));
    };
    let auth = way.auth.unwrap_or_else(|| wire::of(wire).auth());
    let quirks = preset.quirks(way);
    match preset.kind {
        Kind::Azure => azure::reached(table, wire, auth, quirks, key),
        Kind::Bedrock => bedrock::reached(table, wire, auth, quirks, key),
        Kind::Vertex => vertex::reached(table, wire, auth, quirks, key),
        Kind::Keyed | Kind::Local | Kind::Replay => Some(Reached::http(
            wire,
            base_url(table, asked)?,
            carried(key, auth),
            quirks,
        )),
    }
}

/// A key, if there is one, and how it is carried.
fn carried(key: Option<SecretString>, auth: Auth) -> Credential {
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
        "a provider's name has letters, digits, `-`, `_` and `.` alone",
        "routes name it before their first slash: \"name/model\"",
    )
}

/// What does not depend on the wire. Name, way and quirks are filled in by the caller.
fn rest(table: &Table<'_, '_>) -> Provider {
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
        no_summaries: AtomicBool::new(false),
    }
}

/// What it speaks, and the preset that says so where one does.
fn asked(name: &str, table: &Table<'_, '_>) -> Option<Asked> {
    // A wire that is wrong has been told, and says nothing of what was meant.
    let wire = table.read("wire", |node| {
        Some(node.word(WIRES).and_then(Speaks::named))
    });
    if table.has("preset") {
        let preset = table
            .read("preset", |node| node.word(WORDS))
            .and_then(Preset::named)?;
        let usual = preset.usual()?;
        return Some(Asked::of(
            preset,
            wire.flatten().map_or(usual, |wire| {
                preset
                    .way(wire)
                    .unwrap_or_else(|| wrong_wire(table, preset, usual))
            }),
        ));
    }
    let Some(wire) = wire else {
        return by_name(name, table);
    };
    let wire = wire?;
    // Nobody but AWS speaks Bedrock's wire, and it takes a region.
    let named = if wire == Speaks::Http(WireId::Bedrock) {
        Preset::named("bedrock")
    } else {
        Preset::named(name)
    };
    let way = named.and_then(|preset| Some((preset, preset.way(wire)?)));
    Some(Asked {
        speaks: wire,
        preset: way,
    })
}

/// Says which wires the preset speaks.
fn wrong_wire(table: &Table<'_, '_>, preset: &Preset, usual: &'static Way) -> &'static Way {
    let wires: Vec<_> = preset
        .ways
        .iter()
        .map(|way| format!("{:?}", way.speaks.name()))
        .collect();
    let message = format!("the preset {:?} speaks {}", preset.name, wires.join(", "));
    table.misplaced("wire", message, "leave out `wire` or `preset`");
    usual
}

/// A table's name is its preset where it is a known one.
fn by_name(name: &str, table: &Table<'_, '_>) -> Option<Asked> {
    let Some((preset, usual)) =
        Preset::named(name).and_then(|preset| Some((preset, preset.usual()?)))
    else {
        let help = "set `preset` to a known provider (`sluicegate providers` lists them), or `wire` and `base_url`";
        return table.missing(
            "",
            "it has neither `preset` nor `wire`, and its name is no known preset",
            help,
        );
    };
    Some(Asked::of(preset, usual))
}

fn base_url(table: &Table<'_, '_>, asked: Asked) -> Option<String> {
    if table.has("base_url") {
        return table.read("base_url", address::base_url);
    }
    let Some((preset, way)) = asked.preset else {
        return table.missing(
            "base_url",
            "missing",
            format!(
                "say where the upstream is: base_url = {:?}",
                asked.speaks.home()
            ),
        );
    };
    // At its own address such a provider answers nobody without a key.
    if preset.kind == Kind::Keyed && !table.has("api_key") && !table.has("headers") {
        return table.missing(
            "api_key",
            "missing",
            format!("write api_key = \"${{{}}}\"", preset.variable),
        );
    }
    Some(way.address.to_owned())
}

/// The configured address: whole where it has a path, else with the path that belongs to it.
fn overridden(table: &Table<'_, '_>, path: impl FnOnce() -> Option<String>) -> Option<String> {
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

/// A word that becomes part of a host or of a path: letters, digits, `-`, `_`, `.`, and `:`.
fn plain(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if !text.value.is_empty() && text.value.bytes().all(plain) {
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
            "name the folder of recordings: dir = \"demo\"",
        );
    }
    Some(Replay {
        dir: table.read("dir", address::folder)?,
        pace,
    })
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
        Err(_) => node.refuse_with(
            "it cannot be sent as a header",
            "leave out line breaks and control characters",
        ),
    }
}
