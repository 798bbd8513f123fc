//! Reads tool calls in every form in which servers send them.

use bytestring::ByteString;
use serde_json::value::RawValue;

use crate::codec::lenient::{Count, Json};
use crate::wire::kit::calls::Piece;
use crate::wire::kit::sink::Sink;
use crate::wire::openai_chat::shape;

/// Index that stands for the one legacy `function_call`, which has neither index nor id.
const LEGACY_INDEX: u64 = u64::MAX;

/// Reads a fragment of a call, or a complete one.
pub(super) fn read_call(call: shape::Call<'_>, sink: &Sink<'_>) -> Piece {
    let custom = call.function.is_none() && call.custom.is_some();
    let function = call.function.or(call.custom).unwrap_or_default();
    Piece {
        index: call.index.0,
        id: sink.share(call.id),
        name: sink.share(function.name),
        arguments: function.arguments.and_then(|json| arguments(json, sink)),
        signature: sink.share(call.extra.google.thought_signature),
        custom,
    }
}

/// Reads a fragment of a legacy `function_call`; see [`read_call`].
pub(super) fn read_function_call(function: shape::Function<'_>, sink: &Sink<'_>) -> Piece {
    let call = shape::Call {
        index: Count(Some(LEGACY_INDEX)),
        function: Some(function),
        ..shape::Call::default()
    };
    read_call(call, sink)
}

/// Returns arguments as JSON text: the content of the string, or the object that some servers send
/// in its place.
fn arguments(json: &RawValue, sink: &Sink<'_>) -> Option<ByteString> {
    let json_text = json.get();
    if json_text.starts_with('"') {
        return Json::new(json).piece(sink.frame);
    }
    (json_text != "null").then(|| sink.frame.slice_ref(json_text))
}
