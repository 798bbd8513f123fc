//! Events that cannot be written yet: only one block may be open at a time, and a tool call can
//! still grow while others have begun.
//!
//! Invariants: held items leave in the order in which they arrived; the deltas of one text, or of
//! one call, leave as one. The buffer is bounded. Nothing is held unless calls overlap, or other
//! content arrives before a call is complete.

use std::collections::VecDeque;

use bytestring::ByteString;

use crate::model::event::{Event, ToolCall};

/// Maximum size of all held items, bytes: more than any honest answer has in overlapping tool
/// calls.
const MAX_BYTES: usize = 4 << 20;
/// Approximate size of an item without its contents, bytes.
const ITEM_BYTES: usize = 128;

/// The buffer of held items.
#[derive(Debug, Default)]
pub(super) struct Held {
    items: VecDeque<Item>,
    bytes: usize,
    /// The events pushed now have lost their text: they come from the summary of evicted entries.
    pub(super) text_missing: bool,
}

/// One part of the answer.
#[derive(Debug)]
pub(super) struct Item {
    /// The event that began it, without its text, which is in `text`.
    pub(super) event: Event,
    /// Its text so far.
    pub(super) text: String,
    /// It has received deltas.
    pub(super) grown: bool,
    /// Some of its text has been evicted.
    pub(super) lost: bool,
    /// The call is complete.
    pub(super) ended: bool,
}

/// The error of a buffer that exceeds its bound.
#[derive(Debug)]
pub(super) struct Overflow;

impl Held {
    /// Holds an event, or adds it to the item it continues.
    ///
    /// # Errors
    /// When the buffer exceeds its bound.
    pub(super) fn push(&mut self, event: &Event) -> Result<(), Overflow> {
        match event {
            Event::ToolArguments { index, delta, .. } => self.grow(*index, delta),
            Event::ToolCallEnd { index, .. } => {
                if let Some(item) = self.call(*index) {
                    item.ended = true;
                }
            }
            _ => self.add(event),
        }
        if self.bytes > MAX_BYTES {
            Err(Overflow)
        } else {
            Ok(())
        }
    }

    /// Removes the item that has been held longest.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.text.len() + event_size(&item.event);
        Some(item)
    }

    fn add(&mut self, event: &Event) {
        let joins = self
            .items
            .back()
            .is_some_and(|last| is_same_kind_of_text(&last.event, event));
        // Neighbouring deltas of one kind share an item, because they belong to one block.
        if !joins {
            let item = Item {
                // The text is collected in `text`, and not kept twice.
                event: without_text(event),
                text: String::new(),
                grown: false,
                lost: false,
                ended: false,
            };
            self.bytes += event_size(&item.event);
            self.items.push_back(item);
        }
        if let (Some(delta), Some(last)) = (delta_of(event), self.items.back_mut()) {
            last.grow(delta, self.text_missing);
            self.bytes += delta.len();
        }
    }

    fn grow(&mut self, index: u16, delta: &str) {
        let text_missing = self.text_missing;
        // Arguments of an unknown call are dropped: no block could hold them.
        if let Some(item) = self.call(index) {
            item.grow(delta, text_missing);
            self.bytes += delta.len();
        }
    }

    fn call(&mut self, wanted: u16) -> Option<&mut Item> {
        self.items
            .iter_mut()
            .find(|item| matches!(&item.event, Event::ToolCall(call) if call.index == wanted))
    }
}

impl Item {
    fn grow(&mut self, delta: &str, text_missing: bool) {
        self.text.push_str(delta);
        self.grown = true;
        self.lost |= text_missing;
    }

    /// Returns the tool call that the item is, if any.
    pub(super) fn call(&self) -> Option<&ToolCall> {
        if let Event::ToolCall(call) = &self.event {
            Some(call)
        } else {
            None
        }
    }
}

/// Returns the size of an event while it is held, without its text, bytes.
fn event_size(event: &Event) -> usize {
    let len = |text: &Option<ByteString>| text.as_ref().map_or(0, |text| text.len());
    ITEM_BYTES
        + match event {
            Event::ToolCall(it) => it.id.len() + it.name.len() + len(&it.signature),
            Event::Signature(it) => len(&it.signature) + len(&it.redacted),
            Event::Citation(it) => it.data.len() + len(&it.url) + len(&it.title) + len(&it.quote),
            Event::Raw(it) => it.data.len(),
            // Deltas are counted as they are added.
            _ => 0,
        }
}

fn is_same_kind_of_text(one: &Event, other: &Event) -> bool {
    matches!(
        (one, other),
        (Event::Text { .. }, Event::Text { .. })
            | (Event::Reasoning { .. }, Event::Reasoning { .. })
            | (Event::Refusal { .. }, Event::Refusal { .. })
    )
}

fn delta_of(event: &Event) -> Option<&str> {
    match event {
        Event::Text { delta, .. }
        | Event::Reasoning { delta, .. }
        | Event::Refusal { delta, .. } => Some(delta),
        _ => None,
    }
}

fn without_text(event: &Event) -> Event {
    match event {
        Event::Text { choice, .. } => Event::Text {
            choice: *choice,
            delta: "".into(),
        },
        Event::Reasoning { choice, .. } => Event::Reasoning {
            choice: *choice,
            delta: "".into(),
        },
        Event::Refusal { choice, .. } => Event::Refusal {
            choice: *choice,
            delta: "".into(),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::journals::{call, redacted, signature};
    use crate::model::event::{Citation, Raw};
    use crate::model::wire::WireId;

    #[test]
    fn every_kind_of_content_counts_towards_the_bound() {
        let large = "x".repeat(MAX_BYTES / 4);
        let data = || ByteString::from(large.as_str());
        let citation = Citation {
            choice: 0,
            url: None,
            title: None,
            quote: None,
            span: None,
            data: data(),
        };
        let of_call = call(0, 0, false, Some(&large));
        for event in [
            Event::Raw(Box::new(Raw {
                choice: 0,
                wire: WireId::Anthropic,
                data: data(),
            })),
            Event::Citation(Box::new(citation)),
            signature(0, &large, WireId::Anthropic, false),
            redacted(0, &large, WireId::Anthropic),
            of_call,
        ] {
            let mut held = Held::default();
            let taken = (0..8).take_while(|_| held.push(&event).is_ok()).count();
            assert_eq!(taken, 3, "{event:?}");
            while held.pop().is_some() {}
            assert_eq!(held.bytes, 0, "removed items no longer count");
        }
    }
}
