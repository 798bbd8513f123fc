//! What is remembered of entries that were let go: which parts came in which order, without their
//! text. An encoder run over it stands where it would stand after the entries themselves.

use bytestring::ByteString;

use crate::model::entry::Entry;
use crate::model::event::Event;

/// Parts remembered at the most: no honest answer changes its kind of content this often.
const MOST: usize = 16 * 1024;

/// The bones of a stream's beginning.
#[derive(Debug, Default)]
pub(super) struct StreamSummary {
    events: Vec<Event>,
}

impl StreamSummary {
    pub(super) fn add(&mut self, entry: &Entry) {
        for event in &entry.events {
            let bone = bare(event);
            // Of many deltas in a row one is enough; whatever else comes twice is there twice.
            let repeats = is_delta(&bone) && self.events.last() == Some(&bone);
            if !repeats && self.events.len() < MOST {
                self.events.push(bone);
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

/// The event without its text.
fn bare(event: &Event) -> Event {
    let nothing = ByteString::new();
    match event {
        Event::Text { choice, .. } => Event::Text {
            choice: *choice,
            delta: nothing,
        },
        Event::Reasoning { choice, .. } => Event::Reasoning {
            choice: *choice,
            delta: nothing,
        },
        Event::Refusal { choice, .. } => Event::Refusal {
            choice: *choice,
            delta: nothing,
        },
        Event::ToolArguments { choice, index, .. } => Event::ToolArguments {
            choice: *choice,
            index: *index,
            delta: nothing,
        },
        other => other.clone(),
    }
}
