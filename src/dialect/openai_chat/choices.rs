//! The state of the choices that an encoder has begun.

use std::collections::{BTreeMap, BTreeSet};

use super::reasoning::Blocks;

/// The choices that the client has received, by number. Nearly every answer has only number 0,
/// which therefore needs no map.
#[derive(Debug, Default)]
pub(super) struct Choices {
    zero: Option<Choice>,
    further: BTreeMap<u16, Choice>,
}

/// One choice.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The client has received its `finish_reason`.
    pub(super) finished: bool,
    /// It ended with an error of its own.
    pub(super) failed: bool,
    /// The places of its blocks of reasoning and text.
    pub(super) blocks: Blocks,
    /// Number of citations written so far.
    pub(super) citations: u64,
    /// The numbers of its custom tool calls.
    pub(super) custom: BTreeSet<u16>,
}

impl Choices {
    /// Returns true if no choice has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.zero.is_none() && self.further.is_empty()
    }

    /// Returns true if this choice has begun.
    pub(super) fn has(&self, number: u16) -> bool {
        if number == 0 {
            self.zero.is_some()
        } else {
            self.further.contains_key(&number)
        }
    }

    /// Returns a choice; begins it if it is new.
    pub(super) fn begin(&mut self, number: u16) -> &mut Choice {
        if number == 0 {
            self.zero.get_or_insert_default()
        } else {
            self.further.entry(number).or_default()
        }
    }

    /// Returns the choices without a `finish_reason`: their number, and whether they failed.
    pub(super) fn unfinished(&self) -> Vec<(u16, bool)> {
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
