//! Presets: the wires, addresses, authentication and quirks of known providers.
//!
//! Invariants: `table` is the only list of presets; configuration, messages, documentation and
//! tests iterate over it.

mod listing;
mod quirks;
mod table;

use super::schema::Word;
use crate::model::quirks::Quirks;
use crate::model::target::Auth;
use crate::model::wire::WireId;
use table::PRESETS;

pub use listing::{markdown, rows};

/// The protocol of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// A wire over HTTP.
    Http(WireId),
    /// Recordings played from a folder.
    Replay,
}

impl Protocol {
    /// Its name in the configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http(wire) => wire.name(),
            Self::Replay => "replay",
        }
    }

    /// Returns the protocol with this name in the configuration.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        if name == "replay" {
            Some(Self::Replay)
        } else {
            WireId::from_name(name).map(Self::Http)
        }
    }

    /// Returns the address of the vendor that defined the wire, as an example for messages. Empty
    /// if no preset has the wire.
    pub(super) fn example_address(self) -> &'static str {
        let default_endpoint = PRESETS
            .iter()
            .filter_map(Preset::default_endpoint)
            .find(|endpoint| endpoint.protocol == self);
        default_endpoint
            .or_else(|| PRESETS.iter().find_map(|preset| preset.endpoint(self)))
            .map_or("", |endpoint| endpoint.address)
    }

    /// Returns the quirks assumed for a server of this wire without a preset.
    pub(super) fn quirks(self) -> Quirks {
        // Servers compatible with OpenAI's older API outnumber those that accept
        // `max_completion_tokens`, its newer name for the output maximum.
        let vendor = match self {
            Self::Http(wire) => Quirks::of(wire),
            Self::Replay => Quirks::NONE,
        };
        Quirks {
            max_tokens: self == Self::Http(WireId::OpenaiChat),
            ..vendor
        }
    }
}

/// A known provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preset {
    /// The preset's name.
    pub(super) name: &'static str,
    /// The keys that configure its address and credential.
    pub(super) kind: Kind,
    /// Its endpoints, the default first. Each has another protocol.
    pub(super) endpoints: &'static [Endpoint],
    /// The usual environment variable of its API key; empty if it needs none.
    pub(super) key_variable: &'static str,
    /// The effect of an abort on its bill.
    pub(super) abort_billing: AbortBilling,
    /// A short note for the operator, in Markdown.
    pub(super) note: &'static str,
}

/// The keys that configure a provider's address and credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A fixed address and a required API key.
    Keyed,
    /// A server run by the operator, with an optional API key.
    Local,
    /// An Azure resource, with an API key or an Entra application.
    Azure,
    /// An AWS region, with an API key or AWS credentials.
    Bedrock,
    /// A Google Cloud project, or an API key.
    Vertex,
    /// A folder of recordings.
    Replay,
}

/// One endpoint of a provider: an address with its protocol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    /// Its protocol.
    pub(super) protocol: Protocol,
    /// Its base URL. `<…>` stands for a value of the configuration.
    pub(super) address: &'static str,
    /// The header that carries the API key, if it differs from the wire's.
    pub(super) auth: Option<Auth>,
    /// Its deviations from the wire.
    pub(super) quirks: Quirks,
}

/// The effect of an aborted request on the provider's bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AbortBilling {
    /// Only the tokens generated until the abort are billed.
    Partial,
    /// The whole answer is billed.
    Whole,
    /// It depends on the model, route or build.
    Depends,
    /// The provider does not document it.
    Unknown,
    /// Nothing is billed.
    Free,
}

impl Preset {
    /// Returns the preset with this name.
    pub(super) fn from_name(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Returns the endpoint used if the configuration sets no `wire`.
    pub(super) fn default_endpoint(&self) -> Option<&'static Endpoint> {
        self.endpoints.first()
    }

    /// Returns the endpoint with this protocol, if there is one.
    pub(super) fn endpoint(&self, protocol: Protocol) -> Option<&'static Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.protocol == protocol)
    }

    /// Returns the quirks of an endpoint, including the provider's billing of aborted requests.
    pub(super) fn quirks(&self, endpoint: &Endpoint) -> Quirks {
        Quirks {
            bills_whole: self.abort_billing == AbortBilling::Whole,
            ..endpoint.quirks
        }
    }
}

/// The names of all presets, in the order of the documentation.
pub(super) const NAMES: &[Word] = &names();

#[expect(
    clippy::indexing_slicing,
    reason = "a loop over both arrays, which are of one length, at compile time"
)]
const fn names() -> [Word; PRESETS.len()] {
    let mut names = [""; PRESETS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = PRESETS[at].name;
        at += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_distinct_endpoints() {
        for preset in &PRESETS {
            assert!(
                std::ptr::eq(Preset::from_name(preset.name).unwrap(), preset),
                "{} is there twice",
                preset.name
            );
            assert!(preset.default_endpoint().is_some(), "{}", preset.name);
            for (at, endpoint) in preset.endpoints.iter().enumerate() {
                assert!(
                    preset.endpoints[..at]
                        .iter()
                        .all(|other| other.protocol != endpoint.protocol),
                    "{} {:?}",
                    preset.name,
                    endpoint.protocol
                );
                assert!(!endpoint.address.ends_with('/'), "{}", endpoint.address);
                assert_eq!(
                    endpoint.protocol == Protocol::Replay,
                    preset.kind == Kind::Replay,
                    "{}",
                    preset.name
                );
            }
        }
    }

    #[test]
    fn every_wire_has_an_example_address() {
        for wire in WireId::ALL {
            assert!(
                Protocol::Http(wire).example_address().starts_with("http"),
                "{wire:?}"
            );
        }
    }

    #[test]
    fn every_preset_that_requires_a_key_names_its_variable() {
        for preset in PRESETS.iter().filter(|preset| preset.kind == Kind::Keyed) {
            assert!(
                preset
                    .key_variable
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'_')
                    && !preset.key_variable.is_empty(),
                "{}",
                preset.name
            );
        }
    }
}
