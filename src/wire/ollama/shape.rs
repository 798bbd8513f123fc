//! The JSON of a line, as serde reads it: borrowed from the frame, with every member optional.
//!
//! No type here implements `Debug`, because the values are completions, which must not be logged.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::json::is_non_empty;
use crate::codec::lenient::{Count, Flag, Key, RawList, Text};

/// One line of a stream, or a whole non-streaming body.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) message: Option<Message<'a>>,
    #[serde(default)]
    pub(super) done: Flag,
    #[serde(borrow)]
    pub(super) done_reason: Option<Text<'a>>,
    #[serde(default)]
    pub(super) prompt_eval_count: Count,
    #[serde(default)]
    pub(super) eval_count: Count,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// The delta of the answer that a line carries.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub(super) content: Option<Text<'a>>,
    pub(super) thinking: Option<Text<'a>>,
    pub(super) tool_calls: RawList<'a>,
    /// Members with no normalized form: images, and members that are newer than this code.
    pub(super) rest: Vec<(Cow<'a, str>, &'a RawValue)>,
}

// Written by hand, because `#[serde(flatten)]` cannot keep unknown members as borrowed JSON.
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
                // These describe the message and carry no output.
                "role" | "tool_name" | "tool_call_id" => drop(map.next_value::<IgnoredAny>()?),
                _ => message.rest.push((key, map.next_value()?)),
            }
        }
        // Members such as `audio: null` and `video: []` carry no output.
        message.rest.retain(|(_, value)| is_non_empty(value));
        Ok(message)
    }
}

/// A tool call. This wire sends each call complete.
#[derive(Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

/// The function of a tool call. Its `index` is ignored, because calls arrive in order.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}
