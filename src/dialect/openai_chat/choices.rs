//! What an encoder knows of the choices it has begun.

use std::collections::{BTreeMap, BTreeSet};

use super::reasoning::Blocks;

/// The choices that the client has heard of, by number. Nearly every answer has number 0 alone.
#[derive(Debug, Default)]
pub(super) struct Choices {
    zero: Option<Choice>,
    further: BTreeMap<u16, Choice>,
}

/// One choice.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The client has had its `finish_reason`.
    pub(super) finished: bool,
    /// It ended with an error of its own.
    pub(super) failed: bool,
    /// Where its blocks of reasoning and text stand.
    pub(super) blocks: Blocks,
    /// Citations written so far.
    pub(super) citations: u64,
    /// The tool calls that are custom ones.
    pub(super) custom: BTreeSet<u16>,
}

impl Choices {
    /// True where nothing has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.zero.is_none() && self.further.is_empty()
    }

    /// True where this choice has begun.
    pub(super) fn has(&self, number: u16) -> bool {
        if number == 0 {
            self.zero.is_some()
        } else {
            self.further.contains_key(&number)
        }
    }

    /// A choice, which herewith has begun.
    pub(super) fn begun(&mut self, number: u16) -> &mut Choice {
        if number == 0 {
            self.zero.get_or_insert_default()
        } else {
            self.further.entry(number).or_default()
        }
    }

    /// Those that the client has had no `finish_reason` for: their number, and whether they failed.
    pub(super) fn open(&self) -> Vec<(u16, bool)> {
        let all = self.zero.iter().map(|choice| (0, choice)).chain(
            self.further
                .iter()
                .map(|(number, choice)| (*number, choice)),
        );
        all.filter(|(_, choice)| !choice.finished)
            .map(|(number, choice)| (number, choice.failed))
            .collect()
    }
}
