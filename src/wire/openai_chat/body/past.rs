//! Writes the reasoning of past turns in the form that the target expects.
//!
//! Invariant: reasoning that another wire made is never sent. The signature of an item with an id
//! holds the whole item without its text (`delta` writes it so): the item is sent back unchanged.

use serde_json::{Map, Value};

use super::Context;
use super::request::ReasoningFields;
use crate::model::chat::{Part, PastReasoning};
use crate::model::quirks::ReasoningReplay;
use crate::model::wire::WireId;

/// The `format` of reasoning items, by the vendor prefix of `OpenRouter`'s model names.
const FORMATS: [(&str, &str); 4] = [
    ("anthropic/", "anthropic-claude-v1"),
    ("google/", "google-gemini-v1"),
    ("openai/", "openai-responses-v1"),
    ("x-ai/", "xai-responses-v1"),
];

/// Returns the reasoning of one turn.
pub(super) fn reasoning(parts: &[Part], context: Context<'_>) -> ReasoningFields {
    let own = parts.iter().filter_map(|part| match part {
        Part::Reasoning(past)
            if past.wire.is_none_or(|wire| wire == WireId::OpenaiChat) && !past.on_text =>
        {
            Some(past)
        }
        _ => None,
    });
    let text = || {
        own.clone()
            .map(|past| past.text.as_str())
            .collect::<String>()
    };
    let non_empty_text = || Some(text()).filter(|text| !text.is_empty());
    match context.quirks.reasoning {
        ReasoningReplay::Omitted => ReasoningFields::default(),
        ReasoningReplay::Content => ReasoningFields {
            reasoning_content: non_empty_text(),
            ..ReasoningFields::default()
        },
        ReasoningReplay::ContentWithTools => ReasoningFields {
            // In a conversation with tools DeepSeek rejects a turn without this field, so it is
            // sent even if it is empty.
            reasoning_content: context.tools.then(text),
            ..ReasoningFields::default()
        },
        ReasoningReplay::Reasoning => ReasoningFields {
            reasoning: non_empty_text(),
            ..ReasoningFields::default()
        },
        ReasoningReplay::Details if own.clone().any(is_signed) => ReasoningFields {
            reasoning_details: own.clone().map(|past| item(past, context.model)).collect(),
            ..ReasoningFields::default()
        },
        ReasoningReplay::Details => ReasoningFields {
            reasoning: non_empty_text(),
            ..ReasoningFields::default()
        },
    }
}

fn is_signed(past: &PastReasoning) -> bool {
    past.signature.is_some() || past.redacted.is_some()
}

fn item(past: &PastReasoning, model: &str) -> Value {
    let token = past.redacted.as_deref().or(past.signature.as_deref());
    // The token is either a whole item as JSON, or a bare signature that needs a new item.
    let mut item = token
        .and_then(|token| serde_json::from_str(token).ok())
        .unwrap_or_else(|| new_item(past, model));
    if !past.text.is_empty() {
        let member = if item
            .get("type")
            .is_some_and(|kind| kind == "reasoning.summary")
        {
            "summary"
        } else {
            "text"
        };
        item.insert(member.to_owned(), past.text.as_str().into());
    }
    Value::Object(item)
}

fn new_item(past: &PastReasoning, model: &str) -> Map<String, Value> {
    let kind = if past.redacted.is_some() {
        "reasoning.encrypted"
    } else {
        "reasoning.text"
    };
    let format = FORMATS
        .iter()
        .find(|(maker, _)| model.starts_with(maker))
        .map_or("unknown", |(_, format)| format);
    let mut item = Map::new();
    item.insert("type".to_owned(), kind.into());
    item.insert("format".to_owned(), format.into());
    for (name, token) in [("data", &past.redacted), ("signature", &past.signature)] {
        if let Some(token) = token {
            item.insert(name.to_owned(), token.as_str().into());
        }
    }
    item
}
