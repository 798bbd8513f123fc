//! Objects that a provider made on its side while it answered, by the ids that clients receive:
//! items of a response, containers, files in them. The caller that received an id may name it
//! later; no other caller may. The stream's [`PayloadIds`](crate::model::profile::PayloadIds) read
//! them from its payloads.

use bytestring::ByteString;

use super::stream::Stream;

/// Maximum number of object ids of one stream.
pub(super) const MAX_PER_STREAM: usize = 256;
/// Approximate memory of one id beside its own bytes: its place in the maps.
const ID_OVERHEAD: usize = 160;

impl Stream {
    /// Returns the ids of the objects that its provider made in it.
    pub(super) fn objects(&self) -> &[ByteString] {
        self.objects.get().map_or(&[], |objects| objects)
    }

    /// Sets the ids, once. Returns the bytes they take, or 0 if they were already set.
    pub(super) fn set_objects(&self, objects: Vec<ByteString>) -> usize {
        if self.objects.set(objects.into()).is_ok() {
            self.objects_bytes()
        } else {
            0
        }
    }

    /// Returns the approximate memory of the ids, bytes.
    pub(super) fn objects_bytes(&self) -> usize {
        self.objects().iter().map(|id| id.len() + ID_OVERHEAD).sum()
    }
}
