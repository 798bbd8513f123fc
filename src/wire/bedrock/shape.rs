//! The JSON shapes of payloads for serde: borrowed from the frame, with every field optional.
//! Unknown keys, such as the padding `p` of every payload, are skipped.
//!
//! No type here implements `Debug`: the values are completions, which must not reach a log.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::codec::lenient::{Count, Index, List, RawList, Text};

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
#[derive(Default, Deserialize)]
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

impl BlockEdge<'_> {
    /// Returns the index of the block.
    pub(super) fn index(&self) -> u32 {
        self.content_block_index.map_or(0, |index| index.0)
    }
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
        let named = self.name.as_ref().is_some_and(|name| !name.is_empty());
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
    pub(super) input_tokens: Count,
    pub(super) output_tokens: Count,
    pub(super) cache_read_input_tokens: Count,
    pub(super) cache_write_input_tokens: Count,
}

/// The fields read from a citation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Citation<'a> {
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

/// A whole answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) output: Option<Output<'a>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    pub(super) usage: Option<UsageCounts>,
}

/// The output of an answer.
#[derive(Deserialize)]
pub(super) struct Output<'a> {
    #[serde(borrow)]
    pub(super) message: Message<'a>,
}

/// The message of an output.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) content: RawList<'a>,
}

/// A content block: one of these fields, or a kind without a normalized form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_use: Option<ToolUse<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<WholeReasoning<'a>>,
    #[serde(borrow)]
    pub(super) citations_content: Option<CitedText<'a>>,
}

/// The reasoning of a content block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WholeReasoning<'a> {
    #[serde(borrow)]
    pub(super) reasoning_text: Option<Reasoning<'a>>,
    #[serde(borrow)]
    pub(super) redacted_content: Option<Text<'a>>,
}

/// Text with its sources.
#[derive(Deserialize)]
pub(super) struct CitedText<'a> {
    #[serde(borrow, default)]
    pub(super) content: List<SourceText<'a>>,
    #[serde(borrow, default)]
    pub(super) citations: RawList<'a>,
}
