//! The normalized things that happen in a stream: what every wire decodes to and every dialect
//! spells.
//!
//! Invariants: decoders give tool calls stable indexes from 0 in order of appearance and never an
//! empty id or name; a `ToolArguments` follows its `ToolCall`; a `Finish` comes once per choice,
//! after all content of that choice.

use std::sync::Arc;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::ask::Thread;
use super::fault::Fault;
use super::ids::StreamId;
use super::usage::Usage;
use super::wire::WireId;

/// The events of one entry. One upstream frame nearly always decodes to one event.
pub type Events = SmallVec<[Event; 1]>;

/// One normalized thing that happened. Deltas are slices of the upstream's frame wherever it held
/// them unescaped.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The generation began. Always entry 0.
    Start(Box<Start>),
    /// A target has answered; what follows is its content.
    Route(Box<Route>),
    /// A piece of the answer's text.
    Text {
        /// The choice it belongs to.
        choice: u16,
        /// The piece.
        delta: ByteString,
    },
    /// A piece of reasoning text.
    Reasoning {
        /// The choice it belongs to.
        choice: u16,
        /// The piece.
        delta: ByteString,
    },
    /// What the provider wants back with the reasoning (or text) before it.
    Signature(Box<Signature>),
    /// A tool call begins.
    ToolCall(Box<ToolCall>),
    /// A piece of a tool call's arguments, which together are JSON text.
    ToolArguments {
        /// The choice it belongs to.
        choice: u16,
        /// The call, by its place in the choice.
        index: u16,
        /// The piece.
        delta: ByteString,
    },
    /// A tool call is complete.
    ToolCallEnd {
        /// The choice it belongs to.
        choice: u16,
        /// The call, by its place in the choice.
        index: u16,
    },
    /// A piece of a refusal.
    Refusal {
        /// The choice it belongs to.
        choice: u16,
        /// The piece.
        delta: ByteString,
    },
    /// A source for what was said.
    Citation(Box<Citation>),
    /// Content with no normalized form.
    Raw(Box<Raw>),
    /// A choice is complete.
    Finish(Box<Finish>),
    /// What was used; once per stream, after all content.
    Usage(Box<Usage>),
    /// The stream failed.
    Error(Box<Failure>),
    /// The stream is over. Always the last event of a journal.
    End(Box<End>),
}

impl Event {
    /// True for what makes a target's answer final: text, reasoning, refusal, tool call, raw
    /// content.
    #[must_use]
    pub const fn is_content(&self) -> bool {
        matches!(
            self,
            Self::Text { .. }
                | Self::Reasoning { .. }
                | Self::Signature(_)
                | Self::ToolCall(_)
                | Self::ToolArguments { .. }
                | Self::Refusal { .. }
                | Self::Citation(_)
                | Self::Raw(_)
        )
    }

    /// The choice it belongs to; 0 for what belongs to the whole stream.
    #[must_use]
    pub fn choice(&self) -> u16 {
        match self {
            Self::Text { choice, .. }
            | Self::Reasoning { choice, .. }
            | Self::ToolArguments { choice, .. }
            | Self::ToolCallEnd { choice, .. }
            | Self::Refusal { choice, .. } => *choice,
            Self::Signature(it) => it.choice,
            Self::ToolCall(it) => it.choice,
            Self::Citation(it) => it.choice,
            Self::Raw(it) => it.choice,
            Self::Finish(it) => it.choice,
            Self::Start(_) | Self::Route(_) | Self::Usage(_) | Self::Error(_) | Self::End(_) => 0,
        }
    }

    /// The bytes that an answer grew by (text, reasoning, arguments, refusal): what estimates
    /// count.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        match self {
            Self::Text { delta, .. }
            | Self::Reasoning { delta, .. }
            | Self::ToolArguments { delta, .. }
            | Self::Refusal { delta, .. } => delta.len() as u64,
            Self::ToolCall(call) => call.name.len() as u64,
            _ => 0,
        }
    }
}

/// How a stream began. Everything an encoder needs that is not content: encoders know no clock and
/// no randomness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The stream.
    pub stream: StreamId,
    /// The model by the name the client asked for.
    pub model: ByteString,
    /// Unix seconds.
    pub created: u64,
    /// How many choices were asked for.
    pub choices: u16,
    /// What it goes on with.
    pub thread: Option<Arc<Thread>>,
    /// The estimate of the prompt's tokens, for dialects that tell of them at once.
    pub input_estimate: u64,
}

/// The target that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The configured provider's name.
    pub provider: ByteString,
    /// The model as the provider calls it.
    pub model: ByteString,
    /// The wire it speaks.
    pub wire: WireId,
    /// True where entries keep the upstream's payloads, because the stream was begun in this wire's
    /// own dialect.
    pub raw: bool,
    /// The provider's id of the request.
    pub request_id: Option<ByteString>,
}

/// A signature or an encrypted block that must come back unchanged in the next turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The choice.
    pub choice: u16,
    /// The signature of the reasoning block just ended (or of the text, where `on_text`). Wires
    /// that sign nothing put a mark of their own here, so that what they thought goes back to them
    /// and to nobody else.
    pub signature: Option<ByteString>,
    /// A whole block that came encrypted.
    pub redacted: Option<ByteString>,
    /// The wire that made it: no other provider can read it.
    pub wire: WireId,
    /// True where it signs the text before it rather than reasoning.
    pub on_text: bool,
}

/// The beginning of a tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The choice.
    pub choice: u16,
    /// Position among the calls of this choice, from 0.
    pub index: u16,
    /// The provider's id, or one we made.
    pub id: ByteString,
    /// The tool's name.
    pub name: ByteString,
    /// What the provider wants back with this call.
    pub signature: Option<ByteString>,
    /// True for a custom tool, whose "arguments" are free text.
    pub custom: bool,
}

/// A source. `data` is the provider's own JSON object; the other fields are what could be read from
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The choice.
    pub choice: u16,
    /// Where it can be found.
    pub url: Option<ByteString>,
    /// Its title.
    pub title: Option<ByteString>,
    /// The words that were taken from it.
    pub quote: Option<ByteString>,
    /// Where in the answer it applies: characters from the start, inclusive and exclusive.
    pub span: Option<(u32, u32)>,
    /// The provider's JSON object as it came.
    pub data: ByteString,
}

/// Upstream content with no normalized form, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The choice.
    pub choice: u16,
    /// The wire it came from.
    pub wire: WireId,
    /// The JSON value as it came.
    pub data: ByteString,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The model was done, or a stop sequence came.
    Stop,
    /// A maximum was reached.
    Length,
    /// The model wants tools to be run.
    ToolCalls,
    /// A filter stepped in.
    ContentFilter,
    /// Somebody stopped it.
    Cancelled,
    /// It failed.
    Error,
}

impl Reason {
    /// The word in the `events` dialect and in the status JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
        }
    }

    /// What became of the stream, in the ledger and in metrics: `completed`, `cancelled` or
    /// `failed`.
    #[must_use]
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Error => "failed",
            Self::Stop | Self::Length | Self::ToolCalls | Self::ContentFilter => "completed",
        }
    }
}

/// A choice is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The choice.
    pub choice: u16,
    /// Why.
    pub reason: Reason,
    /// The provider's own word for it.
    pub native: Option<ByteString>,
}

/// The stream failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub fault: Fault,
    /// True where the upstream's own error payload stands in this entry: raw readers are sent no
    /// second one.
    pub passed_on: bool,
}

/// The stream is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Why (that of choice 0 where it completed).
    pub reason: Reason,
    /// The provider's own word for it.
    pub native: Option<ByteString>,
    /// What was used; absent where no upstream was asked.
    pub usage: Option<Usage>,
}
