//! The state of a client that has received payloads passed on unchanged: the id and model of the
//! answer, the choices that have begun, those with a `finish_reason`, and whether usage was sent.
//!
//! A payload with content is parsed only if it may hold a `finish_reason`; a payload without
//! content is always parsed.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::choices::Choices;

/// Maximum number of payloads searched for an id. Some servers begin with a payload that has none.
const MAX_HEAD_PAYLOADS: u8 = 8;

/// The state after the payloads passed on so far.
#[derive(Debug)]
pub(super) struct Passed {
    head: Option<Head>,
    searched: u8,
    /// The client has received a usage chunk.
    pub(super) usage: bool,
    finish: memmem::Finder<'static>,
}

/// The id, time (Unix seconds) and model of the upstream's answer.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
}

/// The fields of a chunk that are read.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(default)]
    created: Option<u64>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<Vec<ChunkChoice<'a>>>,
    #[serde(default)]
    usage: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(default)]
    index: u16,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

impl ChunkChoice<'_> {
    fn is_finished(&self) -> bool {
        self.finish_reason
            // Some servers send an empty string instead of null.
            .is_some_and(|reason| !matches!(reason.get(), "null" | "\"\""))
    }
}

impl Passed {
    /// Creates the state before the first payload.
    pub(super) fn new() -> Self {
        Self {
            head: None,
            searched: 0,
            usage: false,
            finish: memmem::Finder::new(b"\"finish_reason\""),
        }
    }

    /// Returns the head of the upstream's answer, once it is known.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Records a payload that is passed on to the client.
    pub(super) fn record(&mut self, data: &str, has_content: bool, choices: &mut Choices) {
        let headless = self.head.is_none() && self.searched < MAX_HEAD_PAYLOADS;
        // The token path: nearly all payloads stop here, without a parse.
        if has_content && !headless && !self.may_finish(data) {
            return;
        }
        // A payload that cannot be parsed is passed on all the same, and changes no state.
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(data) else {
            return;
        };
        let chunk_choices = chunk.choices.as_deref().unwrap_or_default();
        for choice in chunk_choices {
            choices.begin(choice.index).finished |= choice.is_finished();
        }
        // Some servers send a running count with every chunk; only usage after the last open choice
        // is final.
        self.usage |= chunk.usage.is_some() && chunk_choices.iter().all(ChunkChoice::is_finished);
        if headless {
            self.searched += 1;
            self.head = head(chunk);
        }
    }

    /// Returns true unless every `finish_reason` in the payload is null.
    fn may_finish(&self, data: &str) -> bool {
        // A search is cheaper than a parse, and a hit inside a string only costs one parse too
        // many.
        self.finish.find_iter(data.as_bytes()).any(|at| {
            let after = data
                .get(at + b"\"finish_reason\"".len()..)
                .unwrap_or_default();
            let value = after
                .trim_start()
                .strip_prefix(':')
                .unwrap_or_default()
                .trim_start();
            !value.starts_with("null")
        })
    }
}

fn head(chunk: Chunk<'_>) -> Option<Head> {
    let id = chunk.id.filter(|id| !id.is_empty())?.into_owned();
    Some(Head {
        id,
        created: chunk.created.unwrap_or(0),
        model: chunk.model.unwrap_or_default().into_owned(),
    })
}
