//! The types of this wire's response JSON, borrowed from the frame and read leniently: a field of
//! an unexpected type counts as absent, the last of two names for a field wins, and unknown members
//! are skipped or, if they are objects or lists, kept unparsed.

use serde::de::{Deserialize, Deserializer, SeqAccess};
use serde_json::value::RawValue;

use crate::codec::lenient::{Count, Form, Json, List, Maybe, Text, object, or_absent};

/// Text or a list of typed pieces.
#[derive(Default)]
pub(super) enum Content<'a> {
    /// Neither of them.
    #[default]
    None,
    /// Text.
    Text(Text<'a>),
    /// Unparsed pieces.
    Parts(Vec<&'a RawValue>),
}

impl<'a> From<Maybe<Text<'a>>> for Content<'a> {
    fn from(text: Maybe<Text<'a>>) -> Self {
        text.0.map_or(Self::None, Self::Text)
    }
}

impl<'a> Form<'a> for Content<'a> {
    const EXPECTED: &'static str = "text or a list";

    fn from_slice(text: &'a str) -> Option<Self> {
        Text::from_slice(text).map(Self::Text)
    }

    fn from_text(text: &str) -> Option<Self> {
        Text::from_text(text).map(Self::Text)
    }

    fn from_list<A: SeqAccess<'a>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = list.next_element()? {
            parts.push(part);
        }
        Ok(Some(Self::Parts(parts)))
    }
}

impl<'a> Deserialize<'a> for Content<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        or_absent(json).map(Option::unwrap_or_default)
    }
}

object! {
    /// One payload of a stream, or a whole non-streaming body.
    Chunk<'a> {
        choices: Option<Maybe<List<Choice<'a>>>> = "choices";
        usage: Usage<'a> = "usage";
        error: Option<&'a RawValue> = "error";
        x_groq: Groq<'a> = "x_groq";
        citations: Option<&'a RawValue> = "citations";
        search_results: Option<&'a RawValue> = "search_results";
    }
}

object! {
    /// `x_groq`, Groq's own member.
    Groq<'a> {
        usage: Usage<'a> = "usage";
        error: Option<&'a RawValue> = "error";
    }
}

object! {
    /// One choice of a payload. `message` belongs to a non-streaming answer; beside a `delta` it
    /// repeats the text so far.
    Choice<'a> {
        index: Count = "index";
        delta: Option<Delta<'a>> = "delta";
        message: Option<&'a RawValue> = "message";
        text: Maybe<Text<'a>> = "text";
        finish_reason: Maybe<Text<'a>> = "finish_reason";
        usage: Usage<'a> = "usage";
    }
}

object! {
    /// The delta of a choice.
    Delta<'a> {
        content: Content<'a> = "content";
        refusal: Maybe<Text<'a>> = "refusal";
        reasoning_content: Maybe<Text<'a>> = "reasoning_content";
        reasoning: Maybe<Text<'a>> = "reasoning" | "reasoning_text";
        reasoning_details: Json<'a> = "reasoning_details";
        tool_calls: Maybe<List<Call<'a>>> = "tool_calls";
        function_call: Option<Function<'a>> = "function_call";
        annotations: Json<'a> = "annotations";
    }
}

object! {
    /// A fragment of a tool call, or a complete one.
    Call<'a> {
        index: Count = "index";
        id: Maybe<Text<'a>> = "id";
        function: Option<Function<'a>> = "function";
        custom: Option<Function<'a>> = "custom";
        extra: Extra<'a> = "extra_content";
    }
}

object! {
    /// The function or the custom tool of a call.
    Function<'a> {
        name: Maybe<Text<'a>> = "name";
        arguments: Option<&'a RawValue> = "arguments" | "input";
    }
}

object! {
    /// `extra_content`: additional data of a provider beside a tool call.
    Extra<'a> { google: Google<'a> = "google"; }
}

object! {
    /// `google`, Google's own member.
    Google<'a> { thought_signature: Maybe<Text<'a>> = "thought_signature"; }
}

object! {
    /// A piece of `content` or of `reasoning_details`.
    Part<'a> {
        kind: Maybe<Text<'a>> = "type";
        text: Maybe<Text<'a>> = "text" | "summary";
        thinking: Content<'a> = "thinking";
        data: Maybe<Text<'a>> = "data";
        signature: Maybe<Text<'a>> = "signature";
        id: Maybe<Text<'a>> = "id";
    }
}

object! {
    /// A source, under any provider's field names.
    Source<'a> {
        url: Maybe<Text<'a>> = "url" | "link" | "uri";
        title: Maybe<Text<'a>> = "title";
        quote: Maybe<Text<'a>> = "content" | "snippet";
        start: Count = "start_index";
        end: Count = "end_index";
        url_citation: Option<Box<Source<'a>>> = "url_citation";
    }
}

object! {
    /// Token counts, under any provider's field names.
    Usage<'a> {
        input: Count = "prompt_tokens" | "input_tokens";
        output: Count = "completion_tokens" | "output_tokens";
        total: Count = "total_tokens";
        cached: Count = "cached_tokens" | "num_cached_tokens" | "prompt_cache_hit_tokens" | "cache_read_input_tokens";
        cache_write: Count = "cache_creation_input_tokens";
        reasoning: Count = "reasoning_tokens";
        searched: Count = "num_search_queries" | "citation_tokens";
        input_details: Details<'a> = "prompt_tokens_details" | "prompt_token_details" | "input_tokens_details";
        output_details: Details<'a> = "completion_tokens_details" | "output_tokens_details";
    }
}

object! {
    /// The details of a token count.
    Details<'a> {
        cached: Count = "cached_tokens";
        cache_write: Count = "cache_write_tokens" | "cache_creation_tokens";
        reasoning: Count = "reasoning_tokens";
    }
}
