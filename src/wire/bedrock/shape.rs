//! What stands in payloads, as serde reads it: borrowed from the frame, and lenient about what is
//! missing. Keys that nobody asked for, such as the padding `p` of every payload, are passed over.
//!
//! Nothing here implements Debug: these are completions.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub(super) use crate::codec::text::Text;
use crate::model::event::Reason;
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// `contentBlockDelta`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Piece<'a> {
    pub(super) content_block_index: Option<u32>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
}

/// A piece of a block: one of these, or a kind with no normalized form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_use: Option<Input<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<Reasoning<'a>>,
    #[serde(borrow)]
    pub(super) citation: Option<&'a RawValue>,
}

/// A piece of a tool's input.
#[derive(Deserialize)]
pub(super) struct Input<'a> {
    #[serde(borrow)]
    pub(super) input: Option<Text<'a>>,
}

/// A piece of reasoning.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reasoning<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) redacted_content: Option<Text<'a>>,
}

/// `contentBlockDelta` whose delta is carried as it came.
#[derive(Deserialize)]
pub(super) struct Odd<'a> {
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
}

/// `contentBlockStart` and `contentBlockStop`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edge<'a> {
    pub(super) content_block_index: Option<u32>,
    #[serde(borrow)]
    pub(super) start: Option<&'a RawValue>,
}

/// How a block begins. Text and reasoning usually do so without a word.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start<'a> {
    #[serde(borrow)]
    pub(super) tool_use: Option<ToolUse<'a>>,
    pub(super) text: Option<IgnoredAny>,
    pub(super) reasoning_content: Option<IgnoredAny>,
}

/// A tool call; `input` only where it comes whole.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    #[serde(borrow)]
    pub(super) tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

impl ToolUse<'_> {
    /// True where the client is to run it, and not a server (`server_tool_use`).
    pub(super) fn is_clients(&self) -> bool {
        let named = self
            .name
            .as_ref()
            .is_some_and(|name| !name.as_str().is_empty());
        named
            && self
                .kind
                .as_ref()
                .is_none_or(|kind| kind.as_str() == "tool_use")
    }
}

/// `messageStop`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageStop<'a> {
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
}

/// `metadata`.
#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) usage: Option<Counts>,
}

/// Usage as this wire counts it: cached input is outside of `inputTokens`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

impl Counts {
    /// The same in everybody's meaning.
    pub(super) fn usage(&self) -> Usage {
        let inputs = [
            self.input_tokens,
            self.cache_read_input_tokens,
            self.cache_write_input_tokens,
        ];
        Usage {
            input: inputs.into_iter().flatten().reduce(u64::saturating_add),
            output: self.output_tokens,
            cached_input: self.cache_read_input_tokens,
            cache_write: self.cache_write_input_tokens,
            reasoning: None,
            estimated: false,
            cost: None,
        }
    }
}

/// What can be read from a citation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source<'a> {
    #[serde(borrow)]
    pub(super) title: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) source: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) source_content: Option<Vec<Quote<'a>>>,
    #[serde(borrow)]
    pub(super) location: Option<Location<'a>>,
}

/// Words of a source.
#[derive(Deserialize)]
pub(super) struct Quote<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

/// Where a source is; only one on the web has an address.
#[derive(Deserialize)]
pub(super) struct Location<'a> {
    #[serde(borrow)]
    pub(super) web: Option<Web<'a>>,
}

/// A page.
#[derive(Deserialize)]
pub(super) struct Web<'a> {
    #[serde(borrow)]
    pub(super) url: Option<Text<'a>>,
}

/// Reads `json`; `what` says in an error which part of the stream it is.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str, what: &str) -> Result<T, DecodeError> {
    use serde_json::error::Category;
    // The error's own words could hold pieces of the answer.
    serde_json::from_str(json).map_err(|error| {
        let how = match error.classify() {
            Category::Data => "has another shape than expected",
            Category::Syntax | Category::Eof | Category::Io => "is not valid JSON",
        };
        malformed(format!(
            "{what} {how}, at line {} column {}",
            error.line(),
            error.column()
        ))
    })
}

/// The error of something that this wire does not send.
pub(super) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed {
        wire: WireId::Bedrock.name(),
        what: what.into(),
    }
}

/// What a `stopReason` means. What is newer than this is taken for a proper end, as its native word
/// is told as well.
pub(super) fn reason(native: &str) -> Reason {
    match native {
        "max_tokens" | "model_context_window_exceeded" => Reason::Length,
        "tool_use" => Reason::ToolCalls,
        "content_filtered" | "guardrail_intervened" => Reason::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" => Reason::Error,
        _ => Reason::Stop,
    }
}
