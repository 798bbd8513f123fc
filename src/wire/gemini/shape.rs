//! The types of a `GenerateContentResponse`, borrowed from the frame.
//!
//! Invariants: names are read in camelCase and in snake_case, enums as names and as numbers, `null`
//! as absent; unknown members are skipped. Only strings with escapes are copied.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::lenient::{Count, Flag, List, Name, RawList, Text};

/// The payload of one frame.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) candidates: List<Candidate<'a>>,
    #[serde(borrow, alias = "prompt_feedback")]
    pub(super) prompt_feedback: Option<PromptFeedback<'a>>,
    #[serde(alias = "usage_metadata")]
    pub(super) usage_metadata: Option<UsageMetadata>,
}

/// The feedback for a prompt that was not answered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback<'a> {
    #[serde(borrow, alias = "block_reason")]
    pub(super) block_reason: Option<Name<'a>>,
}

/// A delta of one choice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    #[serde(default)]
    pub(super) index: Count,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow, alias = "finish_reason")]
    pub(super) finish_reason: Option<Name<'a>>,
    #[serde(borrow, alias = "citation_metadata")]
    pub(super) citation_metadata: Option<&'a RawValue>,
    #[serde(borrow, alias = "grounding_metadata")]
    pub(super) grounding_metadata: Option<&'a RawValue>,
    #[serde(borrow, alias = "url_context_metadata")]
    pub(super) url_context_metadata: Option<&'a RawValue>,
    #[serde(borrow, alias = "logprobs_result")]
    pub(super) logprobs_result: Option<&'a RawValue>,
}

impl Candidate<'_> {
    /// Returns true if one of the parts has no normalized form.
    pub(super) fn has_raw_part(&self) -> bool {
        let content = self.content.as_ref();
        content.is_some_and(|content| content.parts.0.iter().any(Part::is_raw))
    }
}

/// The parts of a delta.
#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow, default)]
    pub(super) parts: List<Part<'a>>,
}

/// One part of a delta.
#[derive(Default)]
pub(super) struct Part<'a> {
    pub(super) text: Option<Text<'a>>,
    pub(super) thought: bool,
    pub(super) signature: Option<Text<'a>>,
    pub(super) call: Option<FunctionCall<'a>>,
    /// True if the part has any other member that is not `null`.
    pub(super) has_other: bool,
}

impl Part<'_> {
    /// Returns true if the part has no normalized form.
    pub(super) fn is_raw(&self) -> bool {
        self.has_other && self.call.is_none() && self.text.is_none()
    }
}

/// A function call, or a piece of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "partial_args")]
    pub(super) partial_args: List<PartialArg<'a>>,
    #[serde(default, alias = "will_continue")]
    pub(super) will_continue: Flag,
}

/// A piece of one argument, with the JSON path of its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartialArg<'a> {
    #[serde(borrow, alias = "json_path")]
    pub(super) json_path: Text<'a>,
    #[serde(borrow, alias = "string_value")]
    pub(super) string_value: Option<Text<'a>>,
    #[serde(alias = "number_value")]
    pub(super) number_value: Option<serde_json::Value>,
    #[serde(alias = "bool_value")]
    pub(super) bool_value: Option<bool>,
}

/// The token counts so far. They are cumulative.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    #[serde(default, alias = "prompt_token_count")]
    pub(super) prompt_token_count: Count,
    #[serde(default, alias = "cached_content_token_count")]
    pub(super) cached_content_token_count: Count,
    #[serde(default, alias = "candidates_token_count")]
    pub(super) candidates_token_count: Count,
    #[serde(default, alias = "thoughts_token_count")]
    pub(super) thoughts_token_count: Count,
    #[serde(default, alias = "tool_use_prompt_token_count")]
    pub(super) tool_use_prompt_token_count: Count,
}

/// The same chunk with unparsed parts.
#[derive(Deserialize)]
pub(super) struct RawChunk<'a> {
    #[serde(borrow, default)]
    candidates: List<RawCandidate<'a>>,
}

#[derive(Deserialize)]
struct RawCandidate<'a> {
    #[serde(borrow)]
    content: Option<RawContent<'a>>,
}

#[derive(Deserialize)]
struct RawContent<'a> {
    #[serde(borrow, default)]
    parts: RawList<'a>,
}

impl<'a> RawChunk<'a> {
    /// Returns the parts: `[candidate][part]`.
    pub(super) fn parts(self) -> Vec<Vec<&'a RawValue>> {
        let parts =
            |it: RawCandidate<'a>| it.content.map_or_else(Vec::new, |content| content.parts.0);
        self.candidates.0.into_iter().map(parts).collect()
    }
}

/// The `citationMetadata`.
#[derive(Deserialize)]
pub(super) struct CitationMetadata<'a> {
    #[serde(
        borrow,
        default,
        rename = "citations",
        alias = "citationSources",
        alias = "citation_sources"
    )]
    pub(super) sources: RawList<'a>,
}

/// A source of a citation, or the segment of the answer that sources support. Indexes count bytes.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct CitationSource<'a> {
    #[serde(default, alias = "start_index")]
    pub(super) start_index: Count,
    #[serde(default, alias = "end_index")]
    pub(super) end_index: Count,
    #[serde(borrow)]
    pub(super) uri: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) title: Option<Text<'a>>,
}

/// The `groundingMetadata`.
#[derive(Deserialize)]
pub(super) struct Grounding<'a> {
    #[serde(
        borrow,
        default,
        rename = "groundingChunks",
        alias = "grounding_chunks"
    )]
    pub(super) chunks: RawList<'a>,
    #[serde(
        borrow,
        default,
        rename = "groundingSupports",
        alias = "grounding_supports"
    )]
    pub(super) supports: RawList<'a>,
    #[serde(borrow, rename = "webSearchQueries", alias = "web_search_queries")]
    pub(super) web_search_queries: Option<&'a RawValue>,
    #[serde(borrow, rename = "searchEntryPoint", alias = "search_entry_point")]
    pub(super) search_entry_point: Option<&'a RawValue>,
}

/// A segment of the answer, and the grounding chunks that support it.
#[derive(Deserialize)]
pub(super) struct Support<'a> {
    #[serde(borrow)]
    pub(super) segment: Option<CitationSource<'a>>,
    #[serde(
        default,
        rename = "groundingChunkIndices",
        alias = "grounding_chunk_indices"
    )]
    pub(super) indices: List<Count>,
}

/// The source in a grounding chunk.
#[derive(Deserialize, Default)]
pub(super) struct GroundingSource<'a> {
    #[serde(borrow)]
    pub(super) uri: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) title: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

// Written by hand, to notice unknown members without keeping them.
impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Fields<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Fields<'a> {
            type Value = Part<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part<'a>, A::Error> {
                let mut part = Part::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    match name.as_str() {
                        "text" => part.text = map.next_value()?,
                        "thought" => {
                            part.thought = map.next_value::<Flag>()?.0;
                        }
                        "thoughtSignature" | "thought_signature" => {
                            part.signature = map.next_value()?;
                        }
                        "functionCall" | "function_call" => part.call = map.next_value()?,
                        _ => part.has_other |= map.next_value::<Option<IgnoredAny>>()?.is_some(),
                    }
                }
                Ok(part)
            }
        }
        json.deserialize_map(Fields(PhantomData))
    }
}
