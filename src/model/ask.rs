//! One request for a generation: what the dialect read from it, and its bytes as they came.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderName, HeaderValue};

use super::chat::Chat;
use super::fault::Fault;
use super::usage;
use super::wire::{DialectId, WireId};

/// What a request goes on with, by the client's own ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thread {
    /// The conversation.
    pub chat: Option<ByteString>,
    /// The assistant's message that the answer is a further step of.
    pub message: Option<ByteString>,
}

/// Something in a provider's account that a request names. It goes to targets of its own wire as it
/// came, and to no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The path of the field that names it.
    pub path: String,
    /// Its id there, where that is all that is said of it.
    pub id: Option<String>,
}

/// A request for a generation.
pub struct Ask {
    /// The dialect it came in, in which it is answered.
    pub dialect: DialectId,
    /// The wire whose request shape `body` has, if any: it can go to such an upstream as it came.
    pub shape: Option<WireId>,
    /// The request body, byte for byte.
    pub body: Bytes,
    /// The model by the name the client asked for; empty where it named none and the dialect has a
    /// default.
    pub model: ByteString,
    /// What it goes on with, where the dialect has ids for that.
    pub conversation: Option<Arc<Thread>>,
    /// What the dialect `openai-responses` keeps of it.
    pub asked: Option<Arc<Asked>>,
    /// Further models that the body names, which the caller must be allowed as well.
    pub models: Vec<ByteString>,
    /// What it names in the account of its provider instead of bringing it.
    pub references: Vec<Reference>,
    /// True where the client wants a stream.
    pub stream: bool,
    /// How many choices it wants.
    pub choices: u16,
    /// The most output tokens it wants per choice.
    pub max_output: Option<u64>,
    /// True where the client wants usage in the stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// The estimate of its input tokens.
    pub input_estimate: u64,
    /// The end user that it names: counts for limits, never for access.
    pub user: Option<ByteString>,
    /// Request headers that go along to an upstream of the same wire, and `traceparent`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How the body becomes a [`Chat`] when a target speaks another wire.
    pub translate: fn(&[u8]) -> Result<Chat, Fault>,
    /// What `translate` made of the body, once it was needed; from the beginning where it cannot be
    /// translated at all.
    pub chat: OnceLock<Result<Chat, Fault>>,
}

impl Ask {
    /// The request in no provider's words. Parsed once, on first use.
    ///
    /// # Errors
    /// A 400 that names the field which cannot be understood.
    pub fn chat(&self) -> Result<&Chat, Fault> {
        self.chat
            .get_or_init(|| (self.translate)(&self.body))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The tokens that its answer is expected to have: its own maximum for all choices, but `most`
    /// at the most.
    #[must_use]
    pub fn expected_output(&self, most: u64) -> u64 {
        self.max_output.map_or(most, |max| {
            max.saturating_mul(u64::from(self.choices)).min(most)
        })
    }
}

impl std::fmt::Debug for Ask {
    /// Never shows content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask")
            .field("dialect", &self.dialect)
            .field("model", &self.model)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// What an answer in the dialect `openai-responses` repeats of its request, and what is kept of it
/// for later ones.
#[derive(Clone, Default)]
pub struct Asked {
    /// It is answered at once, and runs whether or not anybody reads it.
    pub background: bool,
    /// It can be gone on from, and its input asked for, within retention.
    pub store: bool,
    /// The response that it goes on from.
    pub previous: Option<ByteString>,
    /// The settings that a response object repeats: members of a JSON object, each with a comma
    /// before it.
    pub echo: ByteString,
    /// The input, that of earlier turns included: a JSON array of items. Empty where nothing is
    /// kept.
    pub input: ByteString,
}

impl Asked {
    /// The bytes it holds in memory, about.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.echo.len() + self.input.len() + self.previous.as_ref().map_or(0, |id| id.len())
    }
}

impl std::fmt::Debug for Asked {
    /// Never shows content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("background", &self.background)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The estimate for a prompt of that many bytes of text and that many images.
#[must_use]
pub const fn input_estimate(text_bytes: u64, images: u64) -> u64 {
    usage::estimate(text_bytes).saturating_add(images.saturating_mul(1000))
}
