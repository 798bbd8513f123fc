//! What has come and cannot be said yet: one block is open at a time, and a tool call may still grow while others
//! have begun.
//!
//! Invariants: what is held leaves in the order in which it came; the pieces of one text, or of one call, leave as one.
//! It is bounded. Nothing is held where no two calls overlap and nothing follows an unfinished one.

use std::collections::VecDeque;

use crate::model::event::{Event, ToolCall};

/// The most bytes held: more than any honest answer says in tool calls that grow side by side.
const MOST_BYTES: usize = 4 << 20;
/// What an item costs besides its text, about.
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
        if self.bytes > MOST_BYTES { Err(TooMuch) } else { Ok(()) }
    }

    /// What has been held longest.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.text.len() + ITEM_BYTES;
        Some(item)
    }

    fn add(&mut self, event: &Event) {
        let joins = self.items.back().is_some_and(|last| is_same_text(&last.event, event));
        if !joins {
            let item = Item { event: without_text(event), text: String::new(), grown: false, lost: false, ended: false };
            self.items.push_back(item);
            self.bytes += ITEM_BYTES;
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
        self.items.iter_mut().find(|item| matches!(&item.event, Event::ToolCall(call) if call.index == wanted))
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
        if let Event::ToolCall(call) = &self.event { Some(call) } else { None }
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
        Event::Text { delta, .. } | Event::Reasoning { delta, .. } | Event::Refusal { delta, .. } => Some(delta),
        _ => None,
    }
}

fn without_text(event: &Event) -> Event {
    match event {
        Event::Text { choice, .. } => Event::Text { choice: *choice, delta: "".into() },
        Event::Reasoning { choice, .. } => Event::Reasoning { choice: *choice, delta: "".into() },
        Event::Refusal { choice, .. } => Event::Refusal { choice: *choice, delta: "".into() },
        other => other.clone(),
    }
}
