//! How much the model is to think, in the target's words.

use super::spelling::{Effort, ReasoningHint, Thinking};
use crate::model::chat::Chat;
use crate::model::quirks::{Hints, Quirks, Spelling};

/// What is said of it, if anything is.
pub(super) fn of(chat: &Chat, quirks: Quirks) -> Effort<'_> {
    if quirks.lacks.has(Hints::EFFORT) {
        return Effort::default();
    }
    let word = chat
        .effort
        .as_deref()
        .or_else(|| chat.reasoning_budget.map(nearest));
    match quirks.spelling {
        Spelling::Openai => Effort {
            reasoning_effort: word,
            ..Effort::default()
        },
        Spelling::Mistral => Effort {
            reasoning_effort: word.map(mistral),
            ..Effort::default()
        },
        Spelling::Deepseek => word.map_or_else(Effort::default, deepseek),
        Spelling::Openrouter => {
            let budget = chat.reasoning_budget.filter(|_| chat.effort.is_none());
            let effort = if budget.is_some() { None } else { word };
            let reasoning = word.map(|_| ReasoningHint {
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

/// The effort nearest to a budget of reasoning tokens.
pub(in crate::wire) fn nearest(budget: u64) -> &'static str {
    match budget {
        0 => "none",
        1..4096 => "low",
        4096..16384 => "medium",
        _ => "high",
    }
}

/// Two efforts.
fn mistral(word: &str) -> &str {
    match word {
        "minimal" => "none",
        "low" | "medium" | "xhigh" | "max" => "high",
        other => other,
    }
}

/// Thinking is on or off, with one of three efforts.
fn deepseek(word: &str) -> Effort<'_> {
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
