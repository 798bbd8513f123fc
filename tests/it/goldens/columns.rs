//! The columns of the table: features of a recording and the predicates that detect them.

mod chat;
mod framing;
mod meaning;
mod others;

use super::parsed::Parsed;

/// One column: its name and the predicate that detects it in a recording.
pub type Column = (&'static str, fn(&Parsed<'_>) -> bool);

/// All columns.
pub fn all() -> impl Iterator<Item = Column> {
    let groups: [&[Column]; 8] = [
        &meaning::KINDS,
        &meaning::ENDS,
        &framing::FRAMING,
        &chat::CHAT,
        &others::RESPONSES,
        &others::ANTHROPIC,
        &others::GOOGLE_AND_AWS,
        &others::OLLAMA_AND_COHERE,
    ];
    groups.into_iter().flatten().copied()
}
