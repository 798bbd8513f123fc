//! The open tool calls of a message. A part is complete only with all of its arguments, so the
//! arguments are kept.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::parts::{json_input, put_input, put_own_metadata};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::model::event::ToolCall;
use crate::model::wire::WireId;

/// The open calls by their index.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: BTreeMap<u16, Open>,
    wire: Option<WireId>,
    /// True while the deltas that are read lack their text.
    text_missing: bool,
}

#[derive(Debug)]
struct Open {
    id: ByteString,
    name: ByteString,
    signature: Option<ByteString>,
    custom: bool,
    arguments: String,
    /// True if some of its arguments were evicted before this reader attached.
    text_lost: bool,
}

impl Calls {
    /// Sets the wire of the signatures of calls.
    pub(super) fn set_wire(&mut self, wire: WireId) {
        self.wire = Some(wire);
    }

    /// Sets whether the following deltas lack their text.
    pub(super) fn set_text_missing(&mut self, missing: bool) {
        self.text_missing = missing;
    }

    pub(super) fn begin(&mut self, call: &ToolCall, out: &mut SseWriter) {
        let mut chunk = Members::new(out.event(""));
        chunk.word("type", "tool-input-start");
        chunk.text("toolCallId", &call.id);
        chunk.text("toolName", &call.name);
        chunk.end();
        let (id, name, signature) = (call.id.clone(), call.name.clone(), call.signature.clone());
        self.open.insert(
            call.index,
            Open {
                id,
                name,
                signature,
                custom: call.custom,
                arguments: String::new(),
                text_lost: false,
            },
        );
    }

    pub(super) fn grow(&mut self, index: u16, delta: &str, out: &mut SseWriter) {
        let Some(call) = self.open.get_mut(&index) else {
            return;
        };
        call.text_lost |= self.text_missing;
        call.arguments.push_str(delta);
        let mut chunk = Members::new(out.event(""));
        chunk.word("type", "tool-input-delta");
        chunk.text("toolCallId", &call.id);
        chunk.text("inputTextDelta", delta);
        chunk.end();
    }

    pub(super) fn end(&mut self, index: u16, out: &mut SseWriter) {
        let Some(call) = self.open.remove(&index) else {
            return;
        };
        // A page runs a tool as soon as its input is available: incomplete arguments must be an
        // error.
        let complete = !call.text_lost && (call.custom || json_input(&call.arguments).is_some());
        let mut chunk = Members::new(out.event(""));
        chunk.word(
            "type",
            if complete {
                "tool-input-available"
            } else {
                "tool-input-error"
            },
        );
        chunk.text("toolCallId", &call.id);
        chunk.text("toolName", &call.name);
        put_input(
            chunk.value("input"),
            &call.arguments,
            // Arguments that lack a part are written as a string, never parsed.
            call.custom || call.text_lost,
        );
        if let Some(signature) = &call.signature {
            put_own_metadata(
                chunk.value("providerMetadata"),
                self.wire,
                &[("signature", Some(signature))],
            );
        }
        if !complete {
            let why = if call.text_lost {
                "a part of the arguments of this call is no longer kept"
            } else {
                "the arguments of this call are not complete"
            };
            chunk.text("errorText", why);
        }
        chunk.end();
    }

    pub(super) fn end_all(&mut self, out: &mut SseWriter) {
        while let Some(index) = self.open.keys().next().copied() {
            self.end(index, out);
        }
    }
}
