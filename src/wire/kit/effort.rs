//! Reasoning effort and budget.

use crate::model::chat::Chat;

/// Returns the requested effort, else the effort nearest to the requested budget.
pub(in crate::wire) fn requested(chat: &Chat) -> Option<&str> {
    chat.effort
        .as_deref()
        .or_else(|| chat.reasoning_budget.map(nearest))
}

/// Returns the effort nearest to a budget of reasoning tokens.
pub(in crate::wire) fn nearest(budget: u64) -> &'static str {
    match budget {
        0 => "none",
        1..4096 => "low",
        4096..16384 => "medium",
        _ => "high",
    }
}
