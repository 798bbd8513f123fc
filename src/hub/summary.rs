//! Summary of evicted entries: their events in order, without the text of deltas. An encoder that
//! runs over it reaches the state it would have after the entries themselves.

use bytestring::ByteString;

use crate::model::entry::Entry;
use crate::model::event::Event;

/// Maximum number of events kept: no honest answer changes its kind of content this often.
const MAX_EVENTS: usize = 16 * 1024;

/// Summary of the evicted beginning of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamSummary {
    events: Vec<Event>,
}

impl StreamSummary {
    pub(super) fn add(&mut self, entry: &Entry) {
        for event in &entry.events {
            let bare_event = without_text(event);
            // One delta stands for many of the same kind in a row; other events are kept each time
            // they occur.
            let repeats = is_delta(&bare_event) && self.events.last() == Some(&bare_event);
            if !repeats && self.events.len() < MAX_EVENTS {
                self.events.push(bare_event);
            }
        }
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }
}

const fn is_delta(event: &Event) -> bool {
    matches!(
        event,
        Event::Text { .. }
            | Event::Reasoning { .. }
            | Event::Refusal { .. }
            | Event::ToolArguments { .. }
    )
}

/// Returns the event without its text.
fn without_text(event: &Event) -> Event {
    let empty = ByteString::new();
    match event {
        Event::Text { choice, .. } => Event::Text {
            choice: *choice,
            delta: empty,
        },
        Event::Reasoning { choice, .. } => Event::Reasoning {
            choice: *choice,
            delta: empty,
        },
        Event::Refusal { choice, .. } => Event::Refusal {
            choice: *choice,
            delta: empty,
        },
        Event::ToolArguments { choice, index, .. } => Event::ToolArguments {
            choice: *choice,
            index: *index,
            delta: empty,
        },
        other => other.clone(),
    }
}
