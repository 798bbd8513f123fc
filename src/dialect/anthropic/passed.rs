//! What payloads that were passed on have told the client: whether the message has begun, and which
//! block is open.
//!
//! Of a piece of content nothing is read, but where the beginning of its block is not known.

use std::borrow::Cow;

use serde::Deserialize;

use crate::codec::sse_writer::SseWriter;
use crate::model::entry::Payload;

const DELTA: &str = "content_block_delta";

/// What was passed on.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The place of the block that is open.
    open: Option<u64>,
}

/// The little that is read of an event.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: u64,
}

impl Passed {
    /// Passes a payload on; true where it begins the message. One that came without a name goes
    /// under its type: clients skip events without a name.
    pub(super) fn pass(&mut self, payload: &Payload, out: &mut SseWriter) -> bool {
        if payload.name == DELTA && self.open.is_some() {
            out.payload(DELTA, &payload.data);
            return false;
        }
        // What is no event tells nothing.
        let told = serde_json::from_str(&payload.data).unwrap_or(Told {
            kind: "".into(),
            index: 0,
        });
        let name = if payload.name.is_empty() {
            name(&told.kind)
        } else {
            &payload.name
        };
        out.payload(name, &payload.data);
        match &*told.kind {
            "content_block_start" | DELTA => self.open = Some(told.index),
            "content_block_stop" => self.open = None,
            _ => {}
        }
        told.kind == "message_start"
    }

    /// The place of the block that is open, which is herewith taken to end.
    pub(super) fn take_open(&mut self) -> Option<u64> {
        self.open.take()
    }
}

/// A type as the name of an event, where it can be one.
fn name(kind: &str) -> &str {
    if kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        kind
    } else {
        ""
    }
}
