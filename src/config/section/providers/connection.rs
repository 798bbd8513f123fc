//! The connection to a provider: its address and its credential.

use std::collections::BTreeMap;

use bytestring::ByteString;
use secrecy::SecretString;

use super::selection::Selection;
use crate::config::address;
use crate::config::node::Node;
use crate::config::presets::Kind;
use crate::config::table::Table;
use crate::model::quirks::Quirks;
use crate::model::target::{Auth, Credential, Via};
use crate::model::wire::WireId;

/// The connection to a provider: transport, credential, renamed models, and quirks.
pub(super) struct Connection {
    pub(super) via: Via,
    pub(super) credential: Credential,
    pub(super) models: BTreeMap<ByteString, ByteString>,
    pub(super) quirks: Quirks,
}

impl Connection {
    /// Returns a connection over HTTP without a query and without renamed models.
    pub(super) fn http(
        wire: WireId,
        base_url: String,
        credential: Credential,
        quirks: Quirks,
    ) -> Self {
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

/// Returns the credential for an API key that is sent in the header of `auth`; none without a key.
pub(super) fn key_credential(key: Option<SecretString>, auth: Auth) -> Credential {
    key.map_or(Credential::None, |key| Credential::Key { key, auth })
}

pub(super) fn base_url(table: &Table<'_, '_>, selection: Selection) -> Option<String> {
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
pub(super) fn overriding_base_url(
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
pub(super) fn url_word(node: &Node<'_, '_>) -> Option<String> {
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
