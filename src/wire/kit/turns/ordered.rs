//! The blocks of a turn in which some must come first.

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

/// The blocks of a turn: those that must come first, such as tool results and reasoning, and the
/// rest. They are written as one list.
pub(in crate::wire) struct Ordered<B> {
    first: Vec<B>,
    rest: Vec<B>,
    /// True if the last block was added to `first`.
    in_first: bool,
}

impl<B> Default for Ordered<B> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            rest: Vec::new(),
            in_first: false,
        }
    }
}

impl<B> Ordered<B> {
    /// Adds a block after the others that must come first.
    pub(in crate::wire) fn push_first(&mut self, block: B) {
        self.in_first = true;
        self.first.push(block);
    }

    /// Adds a block at the end.
    pub(in crate::wire) fn push(&mut self, block: B) {
        self.in_first = false;
        self.rest.push(block);
    }

    /// Returns the list that the last block was added to, to put a cache mark on that block or
    /// after it.
    pub(in crate::wire) fn last_list(&mut self) -> &mut Vec<B> {
        if self.in_first {
            &mut self.first
        } else {
            &mut self.rest
        }
    }

    /// Returns the blocks that need not come first.
    pub(in crate::wire) fn rest(&mut self) -> &mut Vec<B> {
        &mut self.rest
    }

    /// Returns true if there are no blocks.
    pub(in crate::wire) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }
}

impl<B: Serialize> Serialize for Ordered<B> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.first.len() + self.rest.len()))?;
        self.first
            .iter()
            .chain(&self.rest)
            .try_for_each(|block| list.serialize_element(block))?;
        list.end()
    }
}
