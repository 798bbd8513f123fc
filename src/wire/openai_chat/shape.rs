//! The types of this wire's response JSON, borrowed from the frame and read leniently: a field of
//! an unexpected type counts as absent, the last of two names for a field wins, and unknown members
//! are skipped or, if they are objects or lists, kept unparsed.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

/// Visitor methods that read a value of an unexpected type as absent.
macro_rules! absent {
    (@unit) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }
    };
    (@numbers) => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
    (@text) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
    (@list) => {
        fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            // A visitor must consume the list, or the parser reports an error.
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (@map) => {
        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
}

/// A string. A value of another type counts as absent.
#[derive(Default)]
pub(super) struct LenientStr<'a>(pub(super) Option<Cow<'a, str>>);

impl<'a> LenientStr<'a> {
    /// Returns the string if it is present and not empty.
    pub(super) fn non_empty(self) -> Option<Cow<'a, str>> {
        self.0.filter(|text| !text.is_empty())
    }
}

impl<'a> Deserialize<'a> for LenientStr<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'a> Visitor<'a> for Reader {
            type Value = LenientStr<'a>;
            absent!(@unit);
            absent!(@numbers);
            absent!(@list);
            absent!(@map);
            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
                Ok(LenientStr(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(LenientStr(Some(Cow::Owned(text.to_owned()))))
            }
        }
        json.deserialize_any(Reader)
    }
}

/// A non-negative whole number. Any other value counts as absent.
#[derive(Default, Clone, Copy)]
pub(super) struct Number(pub(super) Option<u64>);

impl<'a> Deserialize<'a> for Number {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'a> Visitor<'a> for Reader {
            type Value = Number;
            absent!(@unit);
            absent!(@text);
            absent!(@list);
            absent!(@map);
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Number(u64::try_from(number).ok()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Number(Some(number)))
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range is checked"
            )]
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Number(
                    (0.0..9e15).contains(&number).then_some(number as u64),
                ))
            }
        }
        json.deserialize_any(Reader)
    }
}

/// A list that mostly has one element. A value of another type counts as empty.
pub(super) struct List<T>(pub(super) SmallVec<[T; 1]>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<'a, T: Deserialize<'a>> Deserialize<'a> for List<T> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'a, T: Deserialize<'a>> Visitor<'a> for Reader<T> {
            type Value = List<T>;
            absent!(@unit);
            absent!(@numbers);
            absent!(@text);
            absent!(@map);
            fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = SmallVec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(List(items))
            }
        }
        json.deserialize_any(Reader(PhantomData))
    }
}

/// Text or a list of typed pieces.
#[derive(Default)]
pub(super) enum Content<'a> {
    /// Neither of them.
    #[default]
    None,
    /// Text.
    Text(Cow<'a, str>),
    /// Unparsed pieces.
    Parts(Vec<&'a RawValue>),
}

impl<'a> From<LenientStr<'a>> for Content<'a> {
    fn from(text: LenientStr<'a>) -> Self {
        text.0.map_or(Self::None, Self::Text)
    }
}

impl<'a> Deserialize<'a> for Content<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'a> Visitor<'a> for Reader {
            type Value = Content<'a>;
            absent!(@unit);
            absent!(@numbers);
            absent!(@map);
            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        json.deserialize_any(Reader)
    }
}

/// Unknown members whose values are objects or lists, unparsed.
pub(super) type Rest<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// A field name, borrowed if it contains no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Declares an object with these fields, each with the JSON names it is read from.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident<'a> { $($field:ident: $ty:ty = $($key:literal)|+;)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: $ty,)*
            /// The unknown members.
            pub(super) rest: Rest<'a>,
        }

        impl<'a> Deserialize<'a> for $name<'a> {
            fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'a> Visitor<'a> for Reader {
                    type Value = $name<'a>;
                    absent!(@unit);
                    absent!(@numbers);
                    absent!(@text);
                    absent!(@list);
                    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut it = $name::default();
                        while let Some(Key(key)) = map.next_key()? {
                            match &*key {
                                $($($key)|+ => it.$field = map.next_value()?,)*
                                _ => {
                                    // Unknown scalars are metadata (`id`, `created`), not output.
                                    let value: &RawValue = map.next_value()?;
                                    if value.get().starts_with(['{', '[']) {
                                        it.rest.push((key, value));
                                    }
                                }
                            }
                        }
                        Ok(it)
                    }
                }
                json.deserialize_any(Reader)
            }
        }
    };
}

object! {
    /// One payload of a stream, or a whole non-streaming body.
    Chunk<'a> {
        choices: Option<List<Choice<'a>>> = "choices";
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
        index: Number = "index";
        delta: Option<Delta<'a>> = "delta";
        message: Option<&'a RawValue> = "message";
        text: LenientStr<'a> = "text";
        finish_reason: LenientStr<'a> = "finish_reason";
        usage: Usage<'a> = "usage";
    }
}

object! {
    /// The delta of a choice.
    Delta<'a> {
        content: Content<'a> = "content";
        refusal: LenientStr<'a> = "refusal";
        reasoning_content: LenientStr<'a> = "reasoning_content";
        reasoning: LenientStr<'a> = "reasoning" | "reasoning_text";
        reasoning_details: List<&'a RawValue> = "reasoning_details";
        tool_calls: List<Call<'a>> = "tool_calls";
        function_call: Option<Function<'a>> = "function_call";
        annotations: List<&'a RawValue> = "annotations";
    }
}

object! {
    /// A fragment of a tool call, or a complete one.
    Call<'a> {
        index: Number = "index";
        id: LenientStr<'a> = "id";
        function: Option<Function<'a>> = "function";
        custom: Option<Function<'a>> = "custom";
        extra: Extra<'a> = "extra_content";
    }
}

object! {
    /// The function or the custom tool of a call.
    Function<'a> {
        name: LenientStr<'a> = "name";
        arguments: Option<&'a RawValue> = "arguments" | "input";
    }
}

object! {
    /// `extra_content`: additional data of a provider beside a tool call.
    Extra<'a> { google: Google<'a> = "google"; }
}

object! {
    /// `google`, Google's own member.
    Google<'a> { thought_signature: LenientStr<'a> = "thought_signature"; }
}

object! {
    /// A piece of `content` or of `reasoning_details`.
    Part<'a> {
        kind: LenientStr<'a> = "type";
        text: LenientStr<'a> = "text" | "summary";
        thinking: Content<'a> = "thinking";
        data: LenientStr<'a> = "data";
        signature: LenientStr<'a> = "signature";
        id: LenientStr<'a> = "id";
    }
}

object! {
    /// A source, under any provider's field names.
    Source<'a> {
        url: LenientStr<'a> = "url" | "link" | "uri";
        title: LenientStr<'a> = "title";
        quote: LenientStr<'a> = "content" | "snippet";
        start: Number = "start_index";
        end: Number = "end_index";
        url_citation: Option<Box<Source<'a>>> = "url_citation";
    }
}

object! {
    /// Token counts, under any provider's field names.
    Usage<'a> {
        input: Number = "prompt_tokens" | "input_tokens";
        output: Number = "completion_tokens" | "output_tokens";
        total: Number = "total_tokens";
        cached: Number = "cached_tokens" | "num_cached_tokens" | "prompt_cache_hit_tokens" | "cache_read_input_tokens";
        cache_write: Number = "cache_creation_input_tokens";
        reasoning: Number = "reasoning_tokens";
        searched: Number = "num_search_queries" | "citation_tokens";
        input_details: Details<'a> = "prompt_tokens_details" | "prompt_token_details" | "input_tokens_details";
        output_details: Details<'a> = "completion_tokens_details" | "output_tokens_details";
    }
}

object! {
    /// The details of a token count.
    Details<'a> {
        cached: Number = "cached_tokens";
        cache_write: Number = "cache_write_tokens" | "cache_creation_tokens";
        reasoning: Number = "reasoning_tokens";
    }
}
