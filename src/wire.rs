//! Wires: how each upstream wants to be asked, and what its frames mean. One file a wire.
//!
//! Invariants: pure — no IO, no clock, no randomness, no credentials (a wire says what kind it
//! takes; `upstream` signs). Nothing here knows a dialect. Decoders never panic on input and keep
//! bounded state.

pub mod anthropic;
pub mod bedrock;
pub mod cohere;
pub mod gemini;
pub mod ollama;
pub mod openai_chat;
mod openai_error;
pub mod openai_responses;
pub mod quota;
pub mod recording;
pub mod refusal;
mod utf16;
mod written;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::codec::{Frame, Framing};
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// A request ready to be signed and sent.
#[derive(Debug)]
pub struct Draft {
    /// Path and query, to be put behind the account's base URL; begins with `/`.
    pub path: String,
    /// What the wire needs besides credential and `content-type: application/json`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// How the upstream is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As a stream.
    Stream,
    /// As one body. Only asked of the wire whose shape the request has.
    Whole,
}

/// One wire.
pub trait Wire: Send + Sync + 'static {
    /// Its name and identity.
    fn id(&self) -> WireId;

    /// How a key is carried, where the account's preset does not say otherwise.
    fn auth(&self) -> Auth;

    /// The request for `target`. Where the ask has this wire's shape its body goes out as it came,
    /// but for `model`, and what mode and metering must set.
    ///
    /// # Errors
    /// A 400 that names what this target cannot do.
    fn draft(&self, ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault>;

    /// True where this refusal of a request that was written here is of a wish which `target` can
    /// do without: that is noted of its account, and the same request, written anew, lacks it.
    fn learn(&self, _refusal: &Fault, _target: &Target) -> bool {
        false
    }

    /// The request by which `target` counts the tokens of a prompt; `None` where this wire has
    /// none. As with [`Wire::draft`], what the target cannot do is a 400.
    fn count(&self, _ask: &Ask, _target: &Target) -> Option<Result<Draft, Fault>> {
        None
    }

    /// The count in a good answer to that request.
    fn counted(&self, _body: &[u8]) -> Option<u64> {
        None
    }

    /// The framing of a good answer with this content type.
    fn framing(&self, content_type: &str) -> Box<dyn Framing>;

    /// A decoder for one stream. `seed` makes ids where the provider sent none: unique to the
    /// stream.
    fn decoder(&self, target: &Target, seed: &str) -> Box<dyn Decode>;

    /// What a good non-streaming body means: its events (content and one `Finish` per choice) and
    /// its usage.
    ///
    /// # Errors
    /// When it cannot be read, or is an error after all (some providers answer errors under 200).
    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError>;

    /// What an answer with a bad status means. The body may be anything; secrets and hosts are
    /// removed here.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault;
}

/// What one frame decoded to. The decoder fills it; it is cleared before each frame.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Content and `Finish` events. (`Start`, `Route`, `Usage`, `Error` and `End` are never a
    /// decoder's.)
    pub events: Events,
    /// The usage known so far, where this frame told something new of it: the whole of it, never a
    /// difference.
    pub usage: Option<Usage>,
    /// The wire's terminal marker has come: the stream is complete.
    pub done: bool,
    /// The payload is not for raw readers: a terminal or foreign marker, or a block without JSON.
    pub marker: bool,
    /// The payload's only news is usage (`choices: []`): left out for a raw reader who did not ask
    /// for it.
    pub usage_only: bool,
    /// The payload is an error, but not as clients of its dialect look for one: they are told of it
    /// besides.
    pub unspoken: bool,
}

impl Decoded {
    /// Makes ready for the next frame.
    pub fn clear(&mut self) {
        self.events.clear();
        self.usage = None;
        self.done = false;
        self.marker = false;
        self.usage_only = false;
        self.unspoken = false;
    }
}

/// The state of decoding one stream.
pub trait Decode: Send {
    /// Decodes one frame.
    ///
    /// # Errors
    /// When it is an upstream's error, or cannot be read. Nothing is decoded after that.
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError>;

    /// The upstream's body has ended properly. Gives the `Finish` events still due.
    ///
    /// # Errors
    /// When the wire's terminal marker has not come: the answer was cut short.
    fn finish(&mut self, out: &mut Decoded) -> Result<(), DecodeError>;
}

/// Why a frame gave no events.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    /// The upstream reports a failure. The frame is its own error payload.
    #[error("{0}")]
    Upstream(Box<Fault>),
    /// The frame is not what this wire sends.
    #[error("the upstream sent a frame that is not {wire}: {what}")]
    Malformed {
        /// The wire.
        wire: &'static str,
        /// What is wrong with it; no content.
        what: String,
    },
    /// The body ended without the wire's terminal marker.
    #[error("the upstream's stream ended before it was complete")]
    CutShort,
}

impl DecodeError {
    /// Something that this wire does not send; `what` holds no content.
    #[must_use]
    pub fn malformed(wire: WireId, what: impl Into<String>) -> Self {
        Self::Malformed {
            wire: wire.name(),
            what: what.into(),
        }
    }

    /// What serde could not read, by its place: its own words could hold pieces of the answer.
    #[must_use]
    pub fn unreadable(wire: WireId, what: &str, error: &serde_json::Error) -> Self {
        use serde_json::error::Category;
        let how = match error.classify() {
            Category::Data => "has another shape than expected",
            Category::Syntax | Category::Eof | Category::Io => "is not valid JSON",
        };
        Self::malformed(
            wire,
            format!(
                "{what} {how}, at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    }
}

/// The provider of a wire.
#[must_use]
pub fn of(wire: WireId) -> &'static dyn Wire {
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
