//! Encoding of tool calls. Any number of them may be open at once.

use bytes::{Bytes, BytesMut};

use super::super::super::pieces::put_id;
use super::super::super::signatures;
use super::{Items, status_name};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::model::event::ToolCall;
use crate::model::ids::StreamId;

/// An open call.
pub(super) struct Call {
    pub(super) place: usize,
    pub(super) index: u16,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) custom: bool,
}

/// Events of calls.
impl Items {
    pub(super) fn call(&mut self, call: &ToolCall, out: &mut SseWriter) {
        self.close_message_and_reasoning(true, out);
        // A call item has no field for a signature, so the signature is a reasoning item before it.
        if let Some(encrypted) = signatures::wrap_call_signature(call, self.wire) {
            self.opaque_item(&encrypted, out);
        }
        let (id, name) = (call.id.to_string(), call.name.to_string());
        let mut begun = Call {
            place: 0,
            index: call.index,
            id,
            name,
            arguments: String::new(),
            custom: call.custom,
        };
        let first = |stream: &StreamId, place| {
            begun.place = place;
            begun.json(stream, "in_progress")
        };
        self.begin(first, out);
        self.calls.push(begun);
    }

    pub(super) fn arguments_delta(&mut self, index: u16, delta: &str, out: &mut SseWriter) {
        // Arguments of a call that is not open are dropped: no item can hold them.
        let Some(call) = self.calls.iter_mut().rev().find(|call| call.index == index) else {
            return;
        };
        call.arguments.push_str(delta);
        let (place, custom) = (call.place, call.custom);
        let name = if custom {
            "response.custom_tool_call_input.delta"
        } else {
            "response.function_call_arguments.delta"
        };
        self.item_event(out, name, (prefix(custom), place), |event| {
            event.text("delta", delta);
        });
    }

    pub(super) fn end_call(&mut self, index: u16, out: &mut SseWriter) {
        if let Some(at) = self.calls.iter().rposition(|call| call.index == index) {
            let call = self.calls.remove(at);
            self.finish_call(&call, true, out);
        }
    }

    pub(super) fn finish_call(&mut self, call: &Call, complete: bool, out: &mut SseWriter) {
        let (name, field) = if call.custom {
            ("response.custom_tool_call_input.done", "input")
        } else {
            ("response.function_call_arguments.done", "arguments")
        };
        self.item_event(out, name, (prefix(call.custom), call.place), |event| {
            // Only the event of a function call has a `name`.
            if !call.custom {
                event.text("name", &call.name);
            }
            event.text(field, &call.arguments);
        });
        let item = call.json(&self.stream, status_name(complete));
        self.end(call.place, item, out);
    }
}

const fn prefix(custom: bool) -> &'static str {
    if custom { "ctc" } else { "fc" }
}

impl Call {
    pub(super) fn json(&self, stream: &StreamId, status: &str) -> Bytes {
        let (kind, input) = if self.custom {
            ("custom_tool_call", "input")
        } else {
            ("function_call", "arguments")
        };
        let mut buf = BytesMut::with_capacity(self.arguments.len() + 192);
        let mut item = Members::new(&mut buf);
        put_id(item.value("id"), prefix(self.custom), stream, self.place);
        item.word("type", kind);
        item.word("status", status);
        item.text(input, &self.arguments);
        item.text("call_id", &self.id);
        item.text("name", &self.name);
        item.end();
        buf.freeze()
    }
}
