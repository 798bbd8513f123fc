//! The state of a client that has received payloads passed on unchanged: whether the message has
//! begun, and which block is open.
//!
//! Deltas are not parsed, unless the beginning of their block is unknown.

use std::borrow::Cow;

use serde::Deserialize;

use crate::codec::sse_writer::SseWriter;
use crate::dialect::passing::event_name;
use crate::model::entry::Payload;

const DELTA: &str = "content_block_delta";

/// The state after the payloads passed on so far.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The index of the open block.
    open: Option<u64>,
}

/// The fields of an event that are read.
#[derive(Deserialize)]
struct EventHead<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: u64,
}

impl Passed {
    /// Passes a payload on. Returns true if it begins the message.
    pub(super) fn pass(&mut self, payload: &Payload, out: &mut SseWriter) -> bool {
        // The token path: a delta of an open block changes no state, so it is not parsed.
        if payload.name == DELTA && self.open.is_some() {
            out.payload(DELTA, &payload.data);
            return false;
        }
        // A payload that cannot be parsed is passed on all the same, and changes no state.
        let head = serde_json::from_str(&payload.data).unwrap_or(EventHead {
            kind: "".into(),
            index: 0,
        });
        out.payload(event_name(payload, &head.kind), &payload.data);
        match &*head.kind {
            // A delta opens its block too: its `content_block_start` may have been evicted.
            "content_block_start" | DELTA => self.open = Some(head.index),
            "content_block_stop" => self.open = None,
            _ => {}
        }
        head.kind == "message_start"
    }

    /// Returns the index of the open block, and marks the block as stopped.
    pub(super) fn take_open(&mut self) -> Option<u64> {
        self.open.take()
    }
}
