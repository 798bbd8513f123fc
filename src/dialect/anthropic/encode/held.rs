//! What has come and cannot be said yet: one block is open at a time, and a tool call may still
//! grow while others have begun.
//!
//! Invariants: what is held leaves in the order in which it came; the pieces of one text, or of one
//! call, leave as one. It is bounded. Nothing is held where no two calls overlap and nothing
//! follows an unfinished one.

use std::collections::VecDeque;

use bytestring::ByteString;

use crate::model::event::{Event, ToolCall};

/// The most bytes held: more than any honest answer says in tool calls that grow side by side.
const MOST_BYTES: usize = 4 << 20;
/// What an item costs besides what it holds, about.
const ITEM_BYTES: usize = 128;

/// What is held.
#[derive(Debug, Default)]
pub(super) struct Held {
    items: VecDeque<Item>,
    bytes: usize,
    /// What comes now has lost its text.
    pub(super) bare: bool,
}

/// One part of the answer.
#[derive(Debug)]
pub(super) struct Item {
    /// How it began. The text of a delta stands in `text`.
    pub(super) event: Event,
    /// All its text so far.
    pub(super) text: String,
    /// It has had deltas.
    pub(super) grown: bool,
    /// Some of its text is no longer known.
    pub(super) lost: bool,
    /// A call that is complete.
    pub(super) ended: bool,
}

/// More is to be held than may be.
#[derive(Debug)]
pub(super) struct TooMuch;

impl Held {
    /// Holds an event.
    ///
    /// # Errors
    /// When too much is held already.
    pub(super) fn push(&mut self, event: &Event) -> Result<(), TooMuch> {
        match event {
            Event::ToolArguments { index, delta, .. } => self.grow(*index, delta),
            Event::ToolCallEnd { index, .. } => {
                if let Some(item) = self.call(*index) {
                    item.ended = true;
                }
            }
            _ => self.add(event),
        }
        if self.bytes > MOST_BYTES {
            Err(TooMuch)
        } else {
            Ok(())
        }
    }

    /// What has been held longest.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.text.len() + weight(&item.event);
        Some(item)
    }

    fn add(&mut self, event: &Event) {
        let joins = self
            .items
            .back()
            .is_some_and(|last| is_same_text(&last.event, event));
        if !joins {
            let item = Item {
                event: without_text(event),
                text: String::new(),
                grown: false,
                lost: false,
                ended: false,
            };
            self.bytes += weight(&item.event);
            self.items.push_back(item);
        }
        if let (Some(delta), Some(last)) = (delta_of(event), self.items.back_mut()) {
            last.grow(delta, self.bare);
            self.bytes += delta.len();
        }
    }

    fn grow(&mut self, index: u16, delta: &str) {
        let bare = self.bare;
        // Arguments of no call that is known have no place.
        if let Some(item) = self.call(index) {
            item.grow(delta, bare);
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
    fn grow(&mut self, delta: &str, bare: bool) {
        self.text.push_str(delta);
        self.grown = true;
        self.lost |= bare;
    }

    /// The call, where it is one.
    pub(super) fn call(&self) -> Option<&ToolCall> {
        if let Event::ToolCall(call) = &self.event {
            Some(call)
        } else {
            None
        }
    }
}

/// What an event costs while it is held, its text left out.
fn weight(event: &Event) -> usize {
    let of = |text: &Option<ByteString>| text.as_ref().map_or(0, |text| text.len());
    ITEM_BYTES
        + match event {
            Event::ToolCall(it) => it.id.len() + it.name.len() + of(&it.signature),
            Event::Signature(it) => of(&it.signature) + of(&it.redacted),
            Event::Citation(it) => it.data.len() + of(&it.url) + of(&it.title) + of(&it.quote),
            Event::Raw(it) => it.data.len(),
            _ => 0,
        }
}

fn is_same_text(one: &Event, other: &Event) -> bool {
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
    fn everything_that_is_held_counts() {
        let large = "x".repeat(MOST_BYTES / 4);
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
            assert_eq!(held.bytes, 0, "what leaves counts no more");
        }
    }
}
