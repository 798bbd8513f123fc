//! What a known provider's name brings: its wires, its addresses, how it is keyed, and what it does
//! its own way.
//!
//! Invariants: `table` is the one list of presets; configuration, messages, documentation and tests
//! iterate over it.

mod shown;
mod table;

use super::schema::Word;
use crate::model::quirks::Quirks;
use crate::model::target::Auth;
use crate::model::wire::WireId;
use table::PRESETS;

pub use shown::{markdown, rows};

/// What an account speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// A wire over HTTP.
    Http(WireId),
    /// It plays recordings.
    Replay,
}

impl Speaks {
    /// The name in the configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http(wire) => wire.name(),
            Self::Replay => "replay",
        }
    }

    /// What goes by that name in the configuration.
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == "replay" {
            Some(Self::Replay)
        } else {
            WireId::named(name).map(Self::Http)
        }
    }

    /// Where the wire's maker has it.
    pub(super) fn home(self) -> &'static str {
        let usual = PRESETS
            .iter()
            .filter_map(Preset::usual)
            .find(|way| way.speaks == self);
        usual
            .or_else(|| PRESETS.iter().find_map(|preset| preset.way(self)))
            .map_or("", |way| way.address)
    }

    /// What a server of this wire is taken to do its own way where no preset says it.
    pub(super) fn quirks(self) -> Quirks {
        // Servers compatible with OpenAI's older API outnumber those that know its newer name for
        // the output maximum.
        Quirks {
            max_tokens: self == Self::Http(WireId::OpenaiChat),
            ..Quirks::NONE
        }
    }
}

/// A known provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preset {
    /// Its name.
    pub(super) name: &'static str,
    /// How its address and credential are configured.
    pub(super) kind: Kind,
    /// The ways it may be asked, the usual one first.
    pub(super) ways: &'static [Way],
    /// The environment variable its key usually is in; empty where it has none.
    pub(super) variable: &'static str,
    /// What an abort does to its bill.
    pub(super) abort: Abort,
    /// What to know about it, in a few words of Markdown.
    pub(super) note: &'static str,
}

/// How an account's address and credential are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One address, and a key that is needed there.
    Keyed,
    /// A server of one's own, which may want a key.
    Local,
    /// A resource of Azure, with a key or an application of Entra.
    Azure,
    /// A region of AWS, with a key or AWS's own credentials.
    Bedrock,
    /// A project of Google Cloud, or a key.
    Vertex,
    /// A folder.
    Replay,
}

/// One way of asking a provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// What it speaks.
    pub(super) speaks: Speaks,
    /// Where it is. `<…>` stands for what the configuration says.
    pub(super) address: &'static str,
    /// How a key is carried, where that is not as the wire has it.
    pub(super) auth: Option<Auth>,
    /// What it does its own way.
    pub(super) quirks: Quirks,
}

/// What becomes of the bill when a request is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abort {
    /// What was generated until then is billed.
    Stops,
    /// The whole answer is billed.
    GoesOn,
    /// It depends.
    Depends,
    /// Nobody has said.
    Unknown,
    /// Nothing is billed.
    Free,
}

impl Preset {
    /// The preset of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The way it is asked where nothing else is said.
    pub(super) fn usual(&self) -> Option<&'static Way> {
        self.ways.first()
    }

    /// The way that speaks so, if it has one.
    pub(super) fn way(&self, speaks: Speaks) -> Option<&'static Way> {
        self.ways.iter().find(|way| way.speaks == speaks)
    }

    /// What it does its own way, when asked in this one.
    pub(super) fn quirks(&self, way: &Way) -> Quirks {
        Quirks {
            bills_whole: self.abort == Abort::GoesOn,
            ..way.quirks
        }
    }
}

/// The names of all known providers, in the order of the documentation.
pub(super) const WORDS: &[Word] = &words();

#[expect(
    clippy::indexing_slicing,
    reason = "a loop over both arrays, which are of one length, at compile time"
)]
const fn words() -> [Word; PRESETS.len()] {
    let mut words = [""; PRESETS.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = PRESETS[at].name;
        at += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_asked_in_ways_of_its_own() {
        for preset in &PRESETS {
            assert!(
                std::ptr::eq(Preset::named(preset.name).unwrap(), preset),
                "{} is there twice",
                preset.name
            );
            assert!(preset.usual().is_some(), "{}", preset.name);
            for (at, way) in preset.ways.iter().enumerate() {
                assert!(
                    preset.ways[..at]
                        .iter()
                        .all(|other| other.speaks != way.speaks),
                    "{} {:?}",
                    preset.name,
                    way.speaks
                );
                assert!(!way.address.ends_with('/'), "{}", way.address);
                assert_eq!(
                    way.speaks == Speaks::Replay,
                    preset.kind == Kind::Replay,
                    "{}",
                    preset.name
                );
            }
        }
    }

    #[test]
    fn every_wire_has_a_home() {
        for wire in WireId::ALL {
            assert!(Speaks::Http(wire).home().starts_with("http"), "{wire:?}");
        }
    }

    #[test]
    fn whoever_needs_a_key_has_a_variable_for_it() {
        for preset in PRESETS.iter().filter(|preset| preset.kind == Kind::Keyed) {
            assert!(
                preset
                    .variable
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'_')
                    && !preset.variable.is_empty(),
                "{}",
                preset.name
            );
        }
    }
}
