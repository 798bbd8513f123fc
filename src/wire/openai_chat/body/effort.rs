//! Writes the reasoning effort in the target's form.

use super::request::{Effort, ReasoningOptions, Thinking};
use crate::model::chat::Chat;
use crate::model::quirks::{Hints, Quirks, Vocabulary};

/// Returns the fields for the chat's effort or reasoning budget; all are empty if the target
/// supports none or the chat has neither.
pub(super) fn fields(chat: &Chat, quirks: Quirks) -> Effort<'_> {
    if quirks.lacks.has(Hints::EFFORT) {
        return Effort::default();
    }
    let word = chat
        .effort
        .as_deref()
        .or_else(|| chat.reasoning_budget.map(nearest_effort));
    match quirks.vocabulary {
        Vocabulary::Openai => Effort {
            reasoning_effort: word,
            ..Effort::default()
        },
        Vocabulary::Mistral => Effort {
            reasoning_effort: word.map(mistral_effort),
            ..Effort::default()
        },
        Vocabulary::Deepseek => word.map_or_else(Effort::default, deepseek_effort),
        Vocabulary::Openrouter => {
            // `reasoning` takes an effort or a budget, not both. The effort takes precedence.
            let budget = chat.reasoning_budget.filter(|_| chat.effort.is_none());
            let effort = if budget.is_some() { None } else { word };
            let reasoning = word.map(|_| ReasoningOptions {
                effort,
                max_tokens: budget,
            });
            Effort {
                reasoning,
                ..Effort::default()
            }
        }
    }
}

/// Returns the effort nearest to a budget of reasoning tokens.
pub(in crate::wire) fn nearest_effort(budget: u64) -> &'static str {
    match budget {
        0 => "none",
        1..4096 => "low",
        4096..16384 => "medium",
        _ => "high",
    }
}

/// Maps an effort to one of Mistral's two, `none` and `high`.
fn mistral_effort(word: &str) -> &str {
    match word {
        "minimal" => "none",
        "low" | "medium" | "xhigh" | "max" => "high",
        other => other,
    }
}

/// Maps an effort to `DeepSeek`'s fields: thinking on or off, with one of three efforts.
fn deepseek_effort(word: &str) -> Effort<'_> {
    let thinking = |kind| Some(Thinking { kind });
    let effort = match word {
        "none" => {
            return Effort {
                thinking: thinking("disabled"),
                ..Effort::default()
            };
        }
        "minimal" | "low" => "low",
        "medium" | "high" => "high",
        "xhigh" | "max" => "max",
        other => other,
    };
    Effort {
        thinking: thinking("enabled"),
        reasoning_effort: Some(effort),
        ..Effort::default()
    }
}
