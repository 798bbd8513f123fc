//! The columns of the table: what a recording may have, and how that is seen in it.

mod chat;
mod framing;
mod meaning;
mod others;

use super::seen::Seen;

/// One column: its words, and whether a recording has it.
pub type Column = (&'static str, fn(&Seen<'_>) -> bool);

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
