//! The JSON shapes of this wire for serde: borrowed from the frame, with every field optional.
//!
//! A field that is a list in one event and an object in another is kept as JSON. No type here
//! implements `Debug`: the values are completions, which must not reach a log.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::lenient::{Count, Index, RawList, Text, object};

/// The member of a message that contains thinking. This wire has no signatures; this name or
/// [`TOOL_PLAN`] serves as the signature of reasoning and states in which member to send it back.
pub(super) const THINKING: &str = "thinking";

/// The member of a message that contains the model's plan before tool calls.
pub(super) const TOOL_PLAN: &str = "tool_plan";

/// One event of the stream.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) index: Option<Index>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    /// The message of an error.
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
}

/// The delta of an event.
#[derive(Deserialize, Default)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) message: Option<Message<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// The part of the message that a delta contains.
#[derive(Deserialize, Default)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) citations: Option<&'a RawValue>,
}

/// Any object with a `type`, and possibly a delta of an unknown shape.
#[derive(Deserialize)]
pub(super) struct Tagged<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
}

/// A content block, or a piece of one.
#[derive(Deserialize)]
pub(super) struct ContentBlock<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
}

/// A tool call, or a piece of one.
#[derive(Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

/// The function of a tool call.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
}

/// A whole answer.
#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) message: Option<WholeMessage<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
}

/// The message of a whole answer.
#[derive(Deserialize)]
pub(super) struct WholeMessage<'a> {
    #[serde(borrow, default)]
    pub(super) content: RawList<'a>,
    #[serde(borrow)]
    pub(super) tool_plan: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_calls: RawList<'a>,
    #[serde(borrow, default)]
    pub(super) citations: RawList<'a>,
}

/// The fields read from a citation.
#[derive(Deserialize)]
pub(super) struct Citation<'a> {
    #[serde(default)]
    pub(super) start: Count,
    #[serde(default)]
    pub(super) end: Count,
    pub(super) content_index: Option<Index>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) sources: RawList<'a>,
}

object! {
    /// A `usage` object.
    Usage<'a> {
        tokens: Counts<'a> = "tokens";
        billed: Counts<'a> = "billed_units";
        cached: Count = "cached_tokens";
    }
}

object! {
    /// Counts of one kind.
    Counts<'a> {
        input: Count = "input_tokens";
        output: Count = "output_tokens";
        reasoning: Count = "reasoning_tokens";
    }
}
