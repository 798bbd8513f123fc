//! The wire's JSON, borrowed from the frame and read leniently: a field of an unexpected type
//! counts as absent, the last of two spellings wins, what is unknown is read over or kept as it
//! came.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

/// Visitor methods by which every type that is not expected counts as absence.
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

/// A string; absent where it is none.
#[derive(Default)]
pub(super) struct Word<'a>(pub(super) Option<Cow<'a, str>>);

impl<'a> Word<'a> {
    /// The string, where there is one and it is not empty.
    pub(super) fn said(self) -> Option<Cow<'a, str>> {
        self.0.filter(|text| !text.is_empty())
    }
}

impl<'a> Deserialize<'a> for Word<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'a> Visitor<'a> for Reader {
            type Value = Word<'a>;
            absent!(@unit);
            absent!(@numbers);
            absent!(@list);
            absent!(@map);
            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
                Ok(Word(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Word(Some(Cow::Owned(text.to_owned()))))
            }
        }
        json.deserialize_any(Reader)
    }
}

/// A whole number that is not negative; absent where it is none.
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

/// A list, mostly of one; empty where it is none.
pub(super) struct Few<T>(pub(super) SmallVec<[T; 1]>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<'a, T: Deserialize<'a>> Deserialize<'a> for Few<T> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'a, T: Deserialize<'a>> Visitor<'a> for Reader<T> {
            type Value = Few<T>;
            absent!(@unit);
            absent!(@numbers);
            absent!(@text);
            absent!(@map);
            fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut few = SmallVec::new();
                while let Some(item) = list.next_element()? {
                    few.push(item);
                }
                Ok(Few(few))
            }
        }
        json.deserialize_any(Reader(PhantomData))
    }
}

/// Text, or a list of typed pieces.
#[derive(Default)]
pub(super) enum Content<'a> {
    /// Neither.
    #[default]
    None,
    /// Text.
    Text(Cow<'a, str>),
    /// Pieces as they came.
    Parts(Vec<&'a RawValue>),
}

impl<'a> From<Word<'a>> for Content<'a> {
    fn from(word: Word<'a>) -> Self {
        word.0.map_or(Self::None, Self::Text)
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

/// Members that are objects or lists and that nobody asked for by name, as they came.
pub(super) type Rest<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// A field name, borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object of these fields, each under the names given.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident<'a> { $($field:ident: $ty:ty = $($key:literal)|+;)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: $ty,)*
            /// What else there is.
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
    /// One payload.
    Chunk<'a> {
        choices: Option<Few<Choice<'a>>> = "choices";
        usage: Usage<'a> = "usage";
        error: Option<&'a RawValue> = "error";
        x_groq: Groq<'a> = "x_groq";
        citations: Option<&'a RawValue> = "citations";
        search_results: Option<&'a RawValue> = "search_results";
    }
}

object! {
    /// Groq's own member.
    Groq<'a> {
        usage: Usage<'a> = "usage";
        error: Option<&'a RawValue> = "error";
    }
}

object! {
    /// One choice of a payload. `message` is that of an answer that is no stream; beside a `delta`
    /// it repeats it.
    Choice<'a> {
        index: Number = "index";
        delta: Option<Delta<'a>> = "delta";
        message: Option<&'a RawValue> = "message";
        text: Word<'a> = "text";
        finish_reason: Word<'a> = "finish_reason";
        usage: Usage<'a> = "usage";
    }
}

object! {
    /// What a choice has grown by.
    Delta<'a> {
        content: Content<'a> = "content";
        refusal: Word<'a> = "refusal";
        reasoning_content: Word<'a> = "reasoning_content";
        reasoning: Word<'a> = "reasoning" | "reasoning_text";
        reasoning_details: Few<&'a RawValue> = "reasoning_details";
        tool_calls: Few<Call<'a>> = "tool_calls";
        function_call: Option<Function<'a>> = "function_call";
        annotations: Few<&'a RawValue> = "annotations";
    }
}

object! {
    /// A piece of a tool call.
    Call<'a> {
        index: Number = "index";
        id: Word<'a> = "id";
        function: Option<Function<'a>> = "function";
        custom: Option<Function<'a>> = "custom";
        extra: Extra<'a> = "extra_content";
    }
}

object! {
    /// The function of a call, or its custom tool.
    Function<'a> {
        name: Word<'a> = "name";
        arguments: Option<&'a RawValue> = "arguments" | "input";
    }
}

object! {
    /// What a provider puts beside a tool call.
    Extra<'a> { google: Google<'a> = "google"; }
}

object! {
    /// Google's own member.
    Google<'a> { thought_signature: Word<'a> = "thought_signature"; }
}

object! {
    /// A piece of `content` or of `reasoning_details`.
    Part<'a> {
        kind: Word<'a> = "type";
        text: Word<'a> = "text" | "summary";
        thinking: Content<'a> = "thinking";
        data: Word<'a> = "data";
        signature: Word<'a> = "signature";
        id: Word<'a> = "id";
    }
}

object! {
    /// A source, however it is spelled.
    Source<'a> {
        url: Word<'a> = "url" | "link" | "uri";
        title: Word<'a> = "title";
        quote: Word<'a> = "content" | "snippet";
        start: Number = "start_index";
        end: Number = "end_index";
        url_citation: Option<Box<Source<'a>>> = "url_citation";
    }
}

object! {
    /// Counts of tokens, in every spelling.
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
    /// Parts of a count.
    Details<'a> {
        cached: Number = "cached_tokens";
        cache_write: Number = "cache_write_tokens" | "cache_creation_tokens";
        reasoning: Number = "reasoning_tokens";
    }
}
