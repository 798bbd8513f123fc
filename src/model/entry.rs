//! A journal entry: what one upstream frame decoded to, or one thing that happened here.

use bytestring::ByteString;

use super::event::Events;

/// What an entry costs in a journal besides its bytes, about.
pub const ENTRY_OVERHEAD: usize = 128;

/// The upstream's own payload, for readers whose dialect is that wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The SSE event name it came under; empty where it had none.
    pub name: ByteString,
    /// The JSON text, byte for byte.
    pub data: ByteString,
}

/// One entry. Its number is its place in the journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// Kept only where the stream was begun in the dialect of its wire, and not for what raw
    /// readers are not sent.
    pub raw: Option<Payload>,
    /// What it means.
    pub events: Events,
}

impl Entry {
    /// An entry of something that happened here.
    #[must_use]
    pub fn of(events: Events) -> Self {
        Self { raw: None, events }
    }

    /// The bytes it holds in memory, about; deltas that are slices of the kept payload are not
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
        if self.raw.is_some() {
            0
        } else {
            self.events.iter().map(extra).sum()
        }
    }
}
