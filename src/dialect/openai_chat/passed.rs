//! What payloads that were passed on have told the client: by which id and model the answer goes,
//! which choices have begun and which have had their `finish_reason`, and whether there was usage.
//!
//! A payload with content is not read, unless it may hold a `finish_reason`; then, and without
//! content, it is.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::choices::Choices;

/// How many payloads are looked at for an id; some servers begin with one that has none.
const HEADS: u8 = 8;

/// What was passed on.
#[derive(Debug)]
pub(super) struct Passed {
    head: Option<Head>,
    looked_at: u8,
    /// The client has had a usage chunk.
    pub(super) usage: bool,
    finish: memmem::Finder<'static>,
}

/// How the upstream calls its answer.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
}

/// The little that is read of a chunk.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(default)]
    created: Option<u64>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Told<'a>>>,
    #[serde(default)]
    usage: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Told<'a> {
    #[serde(default)]
    index: u16,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

impl Told<'_> {
    fn is_finished(&self) -> bool {
        self.finish_reason
            .is_some_and(|reason| !matches!(reason.get(), "null" | "\"\""))
    }
}

impl Passed {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            head: None,
            looked_at: 0,
            usage: false,
            finish: memmem::Finder::new(b"\"finish_reason\""),
        }
    }

    /// How the upstream calls its answer, where it has said so.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// A payload goes to the client.
    pub(super) fn watch(&mut self, data: &str, has_content: bool, choices: &mut Choices) {
        let headless = self.head.is_none() && self.looked_at < HEADS;
        if has_content && !headless && !self.may_finish(data) {
            return;
        }
        // What is no chunk tells nothing.
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(data) else {
            return;
        };
        let told = chunk.choices.as_deref().unwrap_or_default();
        for choice in told {
            choices.begun(choice.index).finished |= choice.is_finished();
        }
        self.usage |= chunk.usage.is_some() && told.iter().all(Told::is_finished);
        if headless {
            self.looked_at += 1;
            self.head = head(chunk);
        }
    }

    /// True unless every `finish_reason` in it is null.
    fn may_finish(&self, data: &str) -> bool {
        self.finish.find_iter(data.as_bytes()).any(|at| {
            let behind = data
                .get(at + b"\"finish_reason\"".len()..)
                .unwrap_or_default();
            let value = behind
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
