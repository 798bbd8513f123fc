//! A request for a generation: the fields that the dialect parsed, and the unchanged body.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderName, HeaderValue};

use super::chat::Chat;
use super::fault::Fault;
use super::usage;
use super::wire::{DialectId, WireId};

/// The conversation that a request continues, by the client's own ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thread {
    /// The id of the conversation.
    pub chat: Option<ByteString>,
    /// The id of the assistant's message that the answer continues.
    pub message: Option<ByteString>,
}

/// A reference of a request to an object at a provider, such as an uploaded file. Such a request is
/// sent unchanged, and only to targets of its own wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The path of the field with the reference.
    pub path: String,
    /// The object's id, if the field contains nothing else.
    pub id: Option<String>,
}

/// The facts of a request that remain of it while its stream exists. The request, its stream, the
/// start of its journal, the views of its readers and its outcome share them.
#[derive(Clone, PartialEq, Eq)]
pub struct AskHead {
    /// The dialect of the request and of its answer.
    pub dialect: DialectId,
    /// The model name in the request; empty if it has none and the dialect has a default.
    pub model: ByteString,
    /// The conversation that it continues, if the dialect has ids for that.
    pub conversation: Option<Thread>,
    /// The fields that the dialect `openai-responses` keeps.
    pub responses: Option<ResponsesRequest>,
    /// True if the client requests a stream.
    pub stream: bool,
    /// Number of choices requested.
    pub choices: u16,
    /// Maximum number of output tokens per choice.
    pub max_output: Option<u64>,
    /// True if the client requests usage in the stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Estimated number of input tokens.
    pub input_estimate: u64,
    /// The end user named in the body. Used for limits, never for access.
    pub user: Option<ByteString>,
}

impl AskHead {
    /// Returns the expected number of output tokens: the request's own maximum for all choices, or
    /// `limit` if that is less or the request has no maximum.
    #[must_use]
    pub fn expected_output(&self, limit: u64) -> u64 {
        self.max_output.map_or(limit, |max| {
            max.saturating_mul(u64::from(self.choices)).min(limit)
        })
    }
}

impl std::fmt::Debug for AskHead {
    /// Formats no content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AskHead")
            .field("dialect", &self.dialect)
            .field("model", &self.model)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// A request for a generation.
pub struct Ask {
    /// The facts that outlive it.
    pub head: Arc<AskHead>,
    /// The wire whose request shape `body` has, if any. Upstreams of that wire get it unchanged.
    pub shape: Option<WireId>,
    /// The request body, byte for byte.
    pub body: Bytes,
    /// Further models named in the body. The caller must be allowed to use them as well.
    pub models: Vec<ByteString>,
    /// Objects at a provider that it refers to instead of containing them.
    pub references: Vec<Reference>,
    /// Request headers that are forwarded to an upstream of the same wire, and `traceparent`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Converts the body to a [`Chat`] when a target has another wire.
    pub translate: fn(&[u8]) -> Result<Chat, Fault>,
    /// The result of `translate`, computed on first use. Set from the start if the body cannot be
    /// translated at all.
    pub chat: OnceLock<Result<Chat, Fault>>,
}

impl Ask {
    /// Returns the request in provider-neutral form. It is parsed once, on first use.
    ///
    /// # Errors
    /// A 400 that names the field which cannot be translated.
    pub fn chat(&self) -> Result<&Chat, Fault> {
        self.chat
            .get_or_init(|| (self.translate)(&self.body))
            .as_ref()
            .map_err(Clone::clone)
    }
}

#[cfg(test)]
impl AskHead {
    /// Returns the facts of a request for tests.
    #[must_use]
    pub fn example(dialect: DialectId) -> Self {
        Self {
            dialect,
            model: "smart".into(),
            conversation: None,
            responses: None,
            stream: true,
            choices: 1,
            max_output: None,
            include_usage: false,
            input_estimate: 0,
            user: None,
        }
    }
}

#[cfg(test)]
impl Ask {
    /// Returns a request for tests, with this body and its translation.
    #[must_use]
    pub fn example(shape: WireId, body: &'static str, chat: Chat) -> Self {
        Self {
            head: AskHead::example(DialectId::Events).into(),
            shape: Some(shape),
            body: Bytes::from_static(body.as_bytes()),
            models: Vec::new(),
            references: Vec::new(),
            headers: Vec::new(),
            translate: |_| unreachable!("the translation is set"),
            chat: OnceLock::from(Ok(chat)),
        }
    }

    /// Returns the same request with these headers to forward.
    #[must_use]
    pub fn with_headers(mut self, headers: &[(&'static str, &'static str)]) -> Self {
        self.headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        self
    }
}

impl std::fmt::Debug for Ask {
    /// Formats no content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// The fields of an `openai-responses` request that its answer repeats or that later requests need.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ResponsesRequest {
    /// True if it is answered at once and runs whether or not a client reads it.
    pub background: bool,
    /// True if later requests can continue it and retrieve its input, within retention.
    pub store: bool,
    /// The id of the response that it continues.
    pub previous: Option<ByteString>,
    /// The settings that a response object repeats: members of a JSON object, each with a comma
    /// before it.
    pub echo: ByteString,
    /// The input, including that of earlier turns: a JSON array of items. Empty if it is not kept.
    pub input: ByteString,
}

impl ResponsesRequest {
    /// Returns the approximate size in memory, bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.echo.len() + self.input.len() + self.previous.as_ref().map_or(0, |id| id.len())
    }
}

impl std::fmt::Debug for ResponsesRequest {
    /// Formats no content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponsesRequest")
            .field("background", &self.background)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Estimates the number of tokens of a prompt with this many bytes of text and this many images. An
/// image counts 1000 tokens.
#[must_use]
pub const fn input_estimate(text_bytes: u64, images: u64) -> u64 {
    usage::estimate(text_bytes).saturating_add(images.saturating_mul(1000))
}
