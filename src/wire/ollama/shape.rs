//! What stands on a line, as serde reads it: borrowed from the frame, and lenient about what is
//! missing.
//!
//! Nothing here implements Debug: these are completions.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::json::says_something;
use crate::codec::text::Text;

/// One line.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) message: Option<Message<'a>>,
    pub(super) done: Option<bool>,
    #[serde(borrow)]
    pub(super) done_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) prompt_eval_count: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) eval_count: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// A piece of the answer.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub(super) content: Option<Text<'a>>,
    pub(super) thinking: Option<Text<'a>>,
    pub(super) tool_calls: Option<Vec<&'a RawValue>>,
    /// Members with no normalized form: pictures, and what is newer than this.
    pub(super) rest: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(MessageVisitor)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut message = Message::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "content" => message.content = map.next_value()?,
                "thinking" => message.thinking = map.next_value()?,
                "tool_calls" => message.tool_calls = map.next_value()?,
                "role" | "tool_name" | "tool_call_id" => drop(map.next_value::<IgnoredAny>()?),
                _ => message.rest.push((key, map.next_value()?)),
            }
        }
        message.rest.retain(|(_, value)| says_something(value));
        Ok(message)
    }
}

/// A member's name, borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A tool call, which comes whole.
#[derive(Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

/// What is called. Its `index` is not looked at: calls stand in their order.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}

/// A count of tokens; none where it is no whole number.
pub(super) fn count(value: Option<&RawValue>) -> Option<u64> {
    value?.get().parse().ok()
}
