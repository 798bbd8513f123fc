//! Wires: the request format and the frame decoder of each upstream API. One file per wire.
//!
//! Invariants: pure — no IO, no clock, no randomness, no credentials (a wire states which kind of
//! credential it needs; `upstream` signs requests). Nothing here depends on a dialect. Decoders
//! never panic on input and keep bounded state.

pub mod anthropic;
pub mod bedrock;
pub mod cohere;
pub mod gemini;
mod kit;
pub mod ollama;
pub mod openai_chat;
pub mod openai_responses;
pub mod recording;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::codec::{Frame, Framing};
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::learned::{Learned, Lesson};
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

pub use kit::refusal;

/// A request ready to be signed and sent.
#[derive(Debug)]
pub struct Draft {
    /// Path and query, to be appended to the provider's base URL. Begins with `/`.
    pub path: String,
    /// Headers besides the credential and `content-type: application/json`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// The form in which the upstream is asked to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As a stream.
    Stream,
    /// As one body. Used only when the request already has the shape of the wire.
    Whole,
}

/// One wire: writes requests for it and decodes its answers.
pub trait Wire: Send + Sync + 'static {
    /// Returns the identifier of the wire.
    fn id(&self) -> WireId;

    /// Returns the header that carries the key, unless the provider's preset names another one.
    fn auth(&self) -> Auth;

    /// Writes the request for `target`. If the client's request has the shape of this wire, its
    /// body is sent unchanged except for `model` and the fields that mode and metering require.
    /// Optional fields that the target does not support, by what was `learned`, are left out.
    ///
    /// # Errors
    /// A 400 that names the field which this target does not support.
    fn draft(
        &self,
        ask: &Ask,
        target: &Target,
        learned: &Learned,
        mode: Mode,
    ) -> Result<Draft, Fault>;

    /// Returns the lesson of a refusal, if a request written here was rejected because of an
    /// optional field. A request that is written with the lesson does not contain the field.
    fn lesson(&self, _refusal: &Fault) -> Option<Lesson> {
        None
    }

    /// Writes the request that makes `target` count the tokens of a prompt. Returns `None` if this
    /// wire has no such request. As with [`Wire::draft`], an unsupported field is a 400.
    fn draft_count(&self, _ask: &Ask, _target: &Target) -> Option<Result<Draft, Fault>> {
        None
    }

    /// Reads the token count from the body of a successful answer to that request.
    fn read_token_count(&self, _body: &[u8]) -> Option<u64> {
        None
    }

    /// Returns the framing of a successful answer with this content type.
    fn framing(&self, content_type: &str) -> Box<dyn Framing>;

    /// Returns a decoder for one stream. Ids that the provider does not send are derived from
    /// `seed`, which is unique to the stream.
    fn decoder(&self, target: &Target, seed: &str) -> Box<dyn Decode>;

    /// Decodes a successful non-streaming body to its events (content and one `Finish` per choice)
    /// and its usage.
    ///
    /// # Errors
    /// When the body cannot be read or contains an error (some providers report errors with status
    /// 200).
    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError>;

    /// Converts an answer with an error status to a fault. The body may be anything. Secrets and
    /// host names are removed from its text here.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault;
}

/// The result of decoding one frame. The decoder fills it; it is cleared before each frame.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Content and `Finish` events. A decoder never makes `Start`, `Route`, `Usage`, `Error` or
    /// `End`.
    pub events: Events,
    /// The complete usage known so far (never a difference), if this frame changed it.
    pub usage: Option<Usage>,
    /// True if the wire's terminal marker was received: the stream is complete.
    pub done: bool,
    /// True if the payload is not sent to raw readers: it is a terminal or foreign marker, or it is
    /// not JSON.
    pub marker: bool,
    /// True if the payload contains only usage (`choices: []`). It is not sent to raw readers that
    /// did not request usage.
    pub usage_only: bool,
    /// True if the payload is an error in a form that clients of its dialect do not recognize. They
    /// receive an error in the dialect's own form as well.
    pub nonstandard_error: bool,
}

impl Decoded {
    /// Clears all fields before the next frame.
    pub fn clear(&mut self) {
        self.events.clear();
        self.usage = None;
        self.done = false;
        self.marker = false;
        self.usage_only = false;
        self.nonstandard_error = false;
    }
}

/// The state of decoding one stream.
pub trait Decode: Send {
    /// Decodes one frame into `out`.
    ///
    /// # Errors
    /// When the frame is an error of the upstream or cannot be read. No frame is decoded after
    /// that.
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError>;

    /// Ends the stream after the body of the upstream has ended properly. Adds the `Finish` events
    /// that are still missing.
    ///
    /// # Errors
    /// When the wire's terminal marker was not received: the answer was cut short.
    fn finish(&mut self, out: &mut Decoded) -> Result<(), DecodeError>;
}

/// The reason that a frame could not be decoded to events.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    /// The upstream reported a failure. The frame is its error payload.
    #[error("{0}")]
    Upstream(Box<Fault>),
    /// The frame does not have the format of this wire.
    #[error("the upstream sent a frame that is not valid for the {wire} wire: {what}")]
    Malformed {
        /// The name of the wire.
        wire: &'static str,
        /// The problem, without any content of the frame.
        what: String,
    },
    /// The body ended without the wire's terminal marker.
    #[error("the upstream's stream ended before it was complete")]
    CutShort,
}

impl DecodeError {
    /// Returns the error for a failure that the upstream reported.
    #[must_use]
    pub fn upstream(fault: Fault) -> Self {
        Self::Upstream(Box::new(fault))
    }

    /// Returns an error for a frame that is not valid for the wire. `what` must not contain content
    /// of the frame.
    #[must_use]
    pub fn malformed(wire: WireId, what: impl Into<String>) -> Self {
        Self::Malformed {
            wire: wire.name(),
            what: what.into(),
        }
    }

    /// Returns an error for JSON that serde could not read. It reports the position only, because
    /// serde's own message can quote the answer.
    #[must_use]
    pub fn unreadable(wire: WireId, what: &str, error: &serde_json::Error) -> Self {
        use serde_json::error::Category;
        let problem = match error.classify() {
            Category::Data => "does not have the expected shape",
            Category::Syntax | Category::Eof | Category::Io => "is not valid JSON",
        };
        Self::malformed(
            wire,
            format!(
                "{what} {problem}, at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    }
}

/// Returns the implementation of a wire.
#[must_use]
pub fn for_id(wire: WireId) -> &'static dyn Wire {
    match wire {
        WireId::OpenaiChat => &openai_chat::OpenaiChat,
        WireId::OpenaiResponses => &openai_responses::OpenaiResponses,
        WireId::Anthropic => &anthropic::Anthropic,
        WireId::Gemini => &gemini::Gemini,
        WireId::Bedrock => &bedrock::Bedrock,
        WireId::Ollama => &ollama::Ollama,
        WireId::Cohere => &cohere::Cohere,
    }
}
