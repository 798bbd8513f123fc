//! Writes the reasoning of past turns in the form that the target expects.
//!
//! Invariant: the signature of an item with an id contains the whole item without its text
//! (`frames/delta.rs` writes it so): the item is sent back unchanged.

use serde::Serialize;
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

use crate::model::chat::PastReasoning;
use crate::model::quirks::ReasoningReplay;

/// The `format` of reasoning items, by the vendor prefix of `OpenRouter`'s model names.
const FORMATS: [(&str, &str); 4] = [
    ("anthropic/", "anthropic-claude-v1"),
    ("google/", "google-gemini-v1"),
    ("openai/", "openai-responses-v1"),
    ("x-ai/", "xai-responses-v1"),
];

/// The reasoning of a past turn, in the field that the target reads.
#[skip_serializing_none]
#[derive(Serialize, Default)]
pub(super) struct ReasoningFields {
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Value>,
}

/// Returns the reasoning of one turn in this form, for this model of the provider. `has_tools` is
/// true if the conversation has tools.
pub(super) fn write(
    thoughts: &[&PastReasoning],
    form: ReasoningReplay,
    model: &str,
    has_tools: bool,
) -> ReasoningFields {
    // A signature on text belongs to text.
    let own = thoughts.iter().filter(|past| !past.on_text);
    let text: String = own.clone().map(|past| past.text.as_str()).collect();
    let is_signed = |past: &&PastReasoning| past.signature.is_some() || past.redacted.is_some();
    let mut fields = ReasoningFields::default();
    match form {
        // In a conversation with tools DeepSeek rejects a turn without this field, so it is sent
        // even if it is empty.
        ReasoningReplay::ContentWithTools => {
            fields.reasoning_content = has_tools.then_some(text);
        }
        ReasoningReplay::Details if own.clone().any(is_signed) => {
            fields.reasoning_details = own.map(|past| item(past, model)).collect();
        }
        ReasoningReplay::Omitted => {}
        _ if text.is_empty() => {}
        ReasoningReplay::Content => fields.reasoning_content = Some(text),
        ReasoningReplay::Reasoning | ReasoningReplay::Details => fields.reasoning = Some(text),
    }
    fields
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
