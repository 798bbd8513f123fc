//! A journal entry: the events of one upstream frame, or one local event (start, route, end).

use bytestring::ByteString;

use super::event::Events;

/// Approximate memory overhead of an entry in a journal, bytes.
pub const ENTRY_OVERHEAD: usize = 128;

/// The upstream's own payload, for readers whose dialect has the shape of that wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The name of the SSE event; empty if it had none.
    pub name: ByteString,
    /// The JSON text, byte for byte.
    pub data: ByteString,
}

/// One entry. Its number is its index in the journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// The payload. Kept only if the stream was started in the dialect of its wire, and only for
    /// payloads that raw readers receive.
    pub raw: Option<Payload>,
    /// The normalized events.
    pub events: Events,
}

impl Entry {
    /// Returns an entry without a payload.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self { raw: None, events }
    }

    /// Returns the approximate size in memory, bytes. Deltas that are slices of the payload are not
    /// counted twice.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        let held = match &self.raw {
            Some(raw) => raw.data.len() + raw.name.len(),
            None => self
                .events
                .iter()
                .map(|e| usize::try_from(e.output_bytes()).unwrap_or(usize::MAX))
                .sum(),
        };
        held + ENTRY_OVERHEAD + self.extra_bytes()
    }

    /// Returns the size of the data that `output_bytes` does not count.
    fn extra_bytes(&self) -> usize {
        use super::event::Event;
        let extra = |event: &Event| match event {
            Event::Signature(s) => {
                s.signature.as_ref().map_or(0, |it| it.len())
                    + s.redacted.as_ref().map_or(0, |it| it.len())
            }
            Event::Citation(c) => c.data.len(),
            Event::Raw(r) => r.data.len(),
            _ => 0,
        };
        // These are slices of the payload as well.
        if self.raw.is_some() {
            0
        } else {
            self.events.iter().map(extra).sum()
        }
    }
}
