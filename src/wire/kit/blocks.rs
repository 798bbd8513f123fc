//! Content blocks, items or calls that have started and not ended.
//!
//! Invariants: they are found by the provider's index; their number is bounded; they are kept in
//! the order in which they started.

use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// Maximum number of blocks open at once. Providers send blocks one after another; the room is for
/// servers that interleave them.
pub(in crate::wire) const MAX_OPEN_BLOCKS: usize = 256;

/// Open blocks with a state `T`, by a key `K`: the provider's index, and whatever else tells them
/// apart.
pub(in crate::wire) struct OpenBlocks<K, T> {
    wire: WireId,
    list: Vec<(K, T)>,
}

impl<K: PartialEq, T> OpenBlocks<K, T> {
    /// Returns a list without open blocks.
    pub(in crate::wire) fn new(wire: WireId) -> Self {
        Self {
            wire,
            list: Vec::new(),
        }
    }

    /// Checks that another block may start.
    ///
    /// # Errors
    /// When too many are open. Without a bound, a faulty server could make the list grow for as
    /// long as it streams.
    pub(in crate::wire) fn check_room(&self) -> Result<(), DecodeError> {
        if self.list.len() < MAX_OPEN_BLOCKS {
            return Ok(());
        }
        let what = format!("more than {MAX_OPEN_BLOCKS} content blocks or calls are open at once");
        Err(DecodeError::malformed(self.wire, what))
    }

    /// Adds a block that has started. Servers may reuse an index: the block that is open under the
    /// same key is to be ended first.
    ///
    /// # Errors
    /// When too many are open.
    pub(in crate::wire) fn insert(&mut self, key: K, block: T) -> Result<(), DecodeError> {
        self.check_room()?;
        self.list.push((key, block));
        Ok(())
    }

    /// Returns the open block.
    pub(in crate::wire) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let mut open = self.list.iter_mut();
        open.find(|(open, _)| open == key).map(|(_, block)| block)
    }

    /// Removes the block, if it is open.
    pub(in crate::wire) fn remove(&mut self, key: &K) -> Option<T> {
        let at = self.list.iter().position(|(open, _)| open == key)?;
        Some(self.list.remove(at).1)
    }

    /// Removes all open blocks, in the order in which they started.
    pub(in crate::wire) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.list.drain(..).map(|(_, block)| block)
    }
}
