//! Reasoning that is brought back to the target that wants it, in its own words.
//!
//! Invariant: what another wire has made is never sent. A signature that came with an id was kept
//! as the whole item, words excepted (`speech` makes it): it goes back as it was.

use serde_json::{Map, Value};

use super::Manner;
use super::spelling::Past;
use crate::model::chat::{Part, PastReasoning};
use crate::model::quirks::PastReasonings;
use crate::model::wire::WireId;

/// Who made the reasoning, by what a gateway calls its models.
const FORMATS: [(&str, &str); 4] = [
    ("anthropic/", "anthropic-claude-v1"),
    ("google/", "google-gemini-v1"),
    ("openai/", "openai-responses-v1"),
    ("x-ai/", "xai-responses-v1"),
];

/// The reasoning of one turn.
pub(super) fn reasoning(parts: &[Part], manner: Manner<'_>) -> Past {
    let own = parts.iter().filter_map(|part| match part {
        Part::Reasoning(past)
            if past.wire.is_none_or(|wire| wire == WireId::OpenaiChat) && !past.on_text =>
        {
            Some(past)
        }
        _ => None,
    });
    let words = || {
        own.clone()
            .map(|past| past.text.as_str())
            .collect::<String>()
    };
    let said = || Some(words()).filter(|words| !words.is_empty());
    match manner.quirks.reasoning {
        PastReasonings::LeftOut => Past::default(),
        PastReasonings::Content => Past {
            reasoning_content: said(),
            ..Past::default()
        },
        PastReasonings::ContentWithTools => Past {
            reasoning_content: manner.tools.then(words),
            ..Past::default()
        },
        PastReasonings::Reasoning => Past {
            reasoning: said(),
            ..Past::default()
        },
        PastReasonings::Details if own.clone().any(is_signed) => Past {
            reasoning_details: own.clone().map(|past| item(past, manner.model)).collect(),
            ..Past::default()
        },
        PastReasonings::Details => Past {
            reasoning: said(),
            ..Past::default()
        },
    }
}

fn is_signed(past: &PastReasoning) -> bool {
    past.signature.is_some() || past.redacted.is_some()
}

fn item(past: &PastReasoning, model: &str) -> Value {
    let token = past.redacted.as_deref().or(past.signature.as_deref());
    let mut item = token
        .and_then(|token| serde_json::from_str(token).ok())
        .unwrap_or_else(|| plain(past, model));
    if !past.text.is_empty() {
        let words = if item
            .get("type")
            .is_some_and(|kind| kind == "reasoning.summary")
        {
            "summary"
        } else {
            "text"
        };
        item.insert(words.to_owned(), past.text.as_str().into());
    }
    Value::Object(item)
}

fn plain(past: &PastReasoning, model: &str) -> Map<String, Value> {
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
