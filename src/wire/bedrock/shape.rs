//! The JSON shapes of payloads for serde: borrowed from the frame, with every field optional.
//! Unknown keys, such as the padding `p` of every payload, are skipped.
//!
//! No type here implements `Debug`: the values are completions, which must not reach a log.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub(super) use crate::codec::lenient::Text;
use crate::codec::lenient::{Count, Index, List};
use crate::model::event::Reason;
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::DecodeError;
use crate::wire::kit::usage::sum;

/// `contentBlockDelta`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockDelta<'a> {
    pub(super) content_block_index: Option<Index>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
}

/// The delta of a block: one of these fields, or a kind without a normalized form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_use: Option<ToolInput<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<Reasoning<'a>>,
    #[serde(borrow)]
    pub(super) citation: Option<&'a RawValue>,
}

/// A piece of a tool's input.
#[derive(Deserialize)]
pub(super) struct ToolInput<'a> {
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

/// `contentBlockDelta` with its delta kept as JSON, to be carried unchanged.
#[derive(Deserialize)]
pub(super) struct RawDelta<'a> {
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
}

/// `contentBlockStart` and `contentBlockStop`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockEdge<'a> {
    pub(super) content_block_index: Option<Index>,
    #[serde(borrow)]
    pub(super) start: Option<&'a RawValue>,
}

/// The start of a block. Text and reasoning usually have no start event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start<'a> {
    #[serde(borrow)]
    pub(super) tool_use: Option<ToolUse<'a>>,
    // Only the presence of these two matters.
    pub(super) text: Option<IgnoredAny>,
    pub(super) reasoning_content: Option<IgnoredAny>,
}

/// A tool call; `input` is present only in a complete call.
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
    /// True if the client runs this call, not a server (`server_tool_use`).
    pub(super) fn is_client_call(&self) -> bool {
        // No client can run a call without a name.
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
    pub(super) usage: Option<UsageCounts>,
}

/// Usage as this wire counts it: `inputTokens` excludes cached input.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct UsageCounts {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_write_input_tokens: Count,
}

impl UsageCounts {
    /// Returns the normalized usage, whose input includes cached input.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            // `inputTokens` excludes cached tokens, `Usage::input` includes them.
            input: sum([
                self.input_tokens.0,
                self.cache_read_input_tokens.0,
                self.cache_write_input_tokens.0,
            ]),
            output: self.output_tokens.0,
            cached_input: self.cache_read_input_tokens.0,
            cache_write: self.cache_write_input_tokens.0,
            reasoning: None,
            estimated: false,
            cost: None,
        }
    }
}

/// The fields read from a citation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CitationFields<'a> {
    #[serde(borrow)]
    pub(super) title: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) source: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) source_content: List<SourceText<'a>>,
    #[serde(borrow)]
    pub(super) location: Option<Location<'a>>,
}

/// A piece of the source's text.
#[derive(Deserialize)]
pub(super) struct SourceText<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

/// The location of a source; only a source on the web has a URL.
#[derive(Deserialize)]
pub(super) struct Location<'a> {
    #[serde(borrow)]
    pub(super) web: Option<Web<'a>>,
}

/// A web page.
#[derive(Deserialize)]
pub(super) struct Web<'a> {
    #[serde(borrow)]
    pub(super) url: Option<Text<'a>>,
}

/// Parses `json`; `part` names the piece of the stream in an error.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str, part: &str) -> Result<T, DecodeError> {
    use serde_json::error::Category;
    // serde's own message could contain pieces of the answer, so only its position is reported.
    serde_json::from_str(json).map_err(|error| {
        let how = match error.classify() {
            Category::Data => "has another shape than expected",
            Category::Syntax | Category::Eof | Category::Io => "is not valid JSON",
        };
        malformed(format!(
            "{part} {how}, at line {} column {}",
            error.line(),
            error.column()
        ))
    })
}

/// Returns the error for a payload that this wire does not send.
pub(super) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed {
        wire: WireId::Bedrock.name(),
        what: what.into(),
    }
}

/// Normalizes a `stopReason`. One that is newer than this code counts as a normal stop, because the
/// client receives the native reason as well.
pub(super) fn finish_reason(native: &str) -> Reason {
    match native {
        "max_tokens" | "model_context_window_exceeded" => Reason::Length,
        "tool_use" => Reason::ToolCalls,
        "content_filtered" | "guardrail_intervened" => Reason::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" => Reason::Error,
        _ => Reason::Stop,
    }
}
