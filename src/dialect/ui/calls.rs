//! The tool calls of a message while they grow: a part is only complete with all of its arguments,
//! so these are kept.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::parts::{input, put_input, put_own};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::model::event::ToolCall;
use crate::model::wire::WireId;

/// The calls by their place.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: BTreeMap<u16, Open>,
    wire: Option<WireId>,
    /// What comes now has lost its text.
    bare: bool,
}

#[derive(Debug)]
struct Open {
    id: ByteString,
    name: ByteString,
    signature: Option<ByteString>,
    custom: bool,
    arguments: String,
    /// Some of its arguments were let go before this reader came.
    lost: bool,
}

impl Calls {
    /// The wire that the signatures of calls are of.
    pub(super) fn over(&mut self, wire: WireId) {
        self.wire = Some(wire);
    }

    /// From now on the text of deltas is left out, or is there.
    pub(super) fn bare(&mut self, bare: bool) {
        self.bare = bare;
    }

    pub(super) fn begin(&mut self, call: &ToolCall, out: &mut SseWriter) {
        let mut chunk = Members::of(out.event(""));
        chunk.text("type", "tool-input-start");
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
                lost: false,
            },
        );
    }

    pub(super) fn grow(&mut self, index: u16, delta: &str, out: &mut SseWriter) {
        let Some(call) = self.open.get_mut(&index) else {
            return;
        };
        call.lost |= self.bare;
        call.arguments.push_str(delta);
        let mut chunk = Members::of(out.event(""));
        chunk.text("type", "tool-input-delta");
        chunk.text("toolCallId", &call.id);
        chunk.text("inputTextDelta", delta);
        chunk.end();
    }

    pub(super) fn end(&mut self, index: u16, out: &mut SseWriter) {
        let Some(call) = self.open.remove(&index) else {
            return;
        };
        let whole = !call.lost && (call.custom || input(&call.arguments).is_some());
        let mut chunk = Members::of(out.event(""));
        chunk.text(
            "type",
            if whole {
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
            call.custom || call.lost,
        );
        if let Some(signature) = &call.signature {
            put_own(
                chunk.value("providerMetadata"),
                self.wire,
                &[("signature", Some(signature))],
            );
        }
        if !whole {
            let why = if call.lost {
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
