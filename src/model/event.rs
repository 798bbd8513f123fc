//! The normalized events of a stream. Every wire decodes to them, and every dialect encodes them.
//!
//! Invariants: decoders give tool calls stable indexes from 0 in order of appearance and never an
//! empty id or name; a `ToolArguments` follows its `ToolCall`; a `Finish` comes once per choice,
//! after all content of that choice.

use std::sync::Arc;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::ask::AskHead;
use super::fault::Fault;
use super::ids::StreamId;
use super::usage::Usage;
use super::wire::WireId;

/// The events of one entry. One upstream frame nearly always decodes to one event.
pub type Events = SmallVec<[Event; 1]>;

/// One normalized event. Deltas are slices of the upstream's frame wherever it contains them
/// unescaped.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The generation started. Always entry 0.
    Start(Box<Start>),
    /// A target answered. Its content follows.
    Route(Box<Route>),
    /// A delta of the answer's text.
    Text {
        /// The choice.
        choice: u16,
        /// The text of the delta.
        delta: ByteString,
    },
    /// A delta of reasoning text.
    Reasoning {
        /// The choice.
        choice: u16,
        /// The text of the delta.
        delta: ByteString,
    },
    /// The signature that the provider needs back with the reasoning (or text) before it.
    Signature(Box<Signature>),
    /// A tool call started.
    ToolCall(Box<ToolCall>),
    /// A delta of a tool call's arguments. Together the deltas are JSON text.
    ToolArguments {
        /// The choice.
        choice: u16,
        /// The index of the call in the choice.
        index: u16,
        /// The text of the delta.
        delta: ByteString,
    },
    /// A tool call is complete.
    ToolCallEnd {
        /// The choice.
        choice: u16,
        /// The index of the call in the choice.
        index: u16,
    },
    /// A delta of a refusal.
    Refusal {
        /// The choice.
        choice: u16,
        /// The text of the delta.
        delta: ByteString,
    },
    /// A source for the answer.
    Citation(Box<Citation>),
    /// Content without a normalized form.
    Raw(Box<Raw>),
    /// A choice is complete.
    Finish(Box<Finish>),
    /// The usage. Once per stream, after all content.
    Usage(Box<Usage>),
    /// The stream failed.
    Error(Box<Failure>),
    /// The stream ended. Always the last event of a journal.
    End(Box<End>),
}

impl Event {
    /// Returns true for content: after the first such event the stream stays with its target.
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

    /// Returns the choice of the event; 0 for events of the whole stream.
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

    /// Returns the number of bytes that estimates count as output: text, reasoning, arguments,
    /// refusals and names of tools.
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

/// The start of a stream. Contains everything besides content that an encoder needs, because
/// encoders use no clock and no randomness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The id of the stream.
    pub stream: StreamId,
    /// Time of creation, Unix seconds.
    pub created: u64,
    /// The facts of the request.
    pub head: Arc<AskHead>,
}

/// The target that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The configured provider's name.
    pub provider: ByteString,
    /// The provider's name of the model.
    pub model: ByteString,
    /// The wire of the upstream.
    pub wire: WireId,
    /// True if entries keep the upstream's payloads, because the stream was started in the dialect
    /// of this wire.
    pub raw: bool,
    /// The provider's request id.
    pub request_id: Option<ByteString>,
}

/// A signature or an encrypted block that must come back unchanged in the next turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The choice.
    pub choice: u16,
    /// The signature of the reasoning block that just ended (or of the text, if `on_text`). Wires
    /// without signatures set a mark of their own, so that their reasoning is sent back to them
    /// only.
    pub signature: Option<ByteString>,
    /// A whole encrypted block.
    pub redacted: Option<ByteString>,
    /// The wire that made it. No other provider can read it.
    pub wire: WireId,
    /// True if it signs the text before it rather than reasoning.
    pub on_text: bool,
}

/// The start of a tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The choice.
    pub choice: u16,
    /// Index among the calls of this choice, from 0.
    pub index: u16,
    /// The provider's id, or a generated one.
    pub id: ByteString,
    /// The tool's name.
    pub name: ByteString,
    /// The signature that the provider needs back with this call.
    pub signature: Option<ByteString>,
    /// True for a custom tool, whose arguments are free text.
    pub custom: bool,
}

/// A source. `data` is the provider's own JSON object; the other fields are read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The choice.
    pub choice: u16,
    /// The address of the source.
    pub url: Option<ByteString>,
    /// Its title.
    pub title: Option<ByteString>,
    /// The quoted text.
    pub quote: Option<ByteString>,
    /// The range of the answer that it applies to, in characters: start (inclusive) and end
    /// (exclusive).
    pub span: Option<(u32, u32)>,
    /// The provider's JSON object, unchanged.
    pub data: ByteString,
}

/// Upstream content without a normalized form, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The choice.
    pub choice: u16,
    /// The wire that sent it.
    pub wire: WireId,
    /// The JSON value, unchanged.
    pub data: ByteString,
}

/// The reason that an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The model finished, or emitted a stop sequence.
    Stop,
    /// A maximum was reached.
    Length,
    /// The model called tools that the client runs.
    ToolCalls,
    /// A content filter stopped the answer.
    ContentFilter,
    /// It was cancelled.
    Cancelled,
    /// A failure ended it.
    Error,
}

impl Reason {
    /// Returns the name in the `events` dialect and in the status JSON.
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

    /// Returns the outcome of the stream in the ledger and in metrics: `completed`, `cancelled` or
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
    /// The reason.
    pub reason: Reason,
    /// The provider's own name of the reason.
    pub native: Option<ByteString>,
}

/// The stream failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The failure.
    pub fault: Fault,
    /// True if this entry contains the upstream's own error payload, so that raw readers do not get
    /// a second one.
    pub passed_on: bool,
}

/// The stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The reason; for a completed stream that of choice 0.
    pub reason: Reason,
    /// The provider's own name of the reason.
    pub native: Option<ByteString>,
    /// The usage; absent if no upstream was asked.
    pub usage: Option<Usage>,
}
