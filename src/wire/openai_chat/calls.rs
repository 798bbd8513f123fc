//! Reads tool calls in every form in which servers send them.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::delta::ChoiceWriter;
use super::shape;
use crate::codec::lenient::Count;
use crate::wire::kit::calls::Piece;

/// Index that stands for the one legacy `function_call`, which has neither index nor id.
const LEGACY_INDEX: u64 = u64::MAX;

/// Reads a fragment of a call, or a complete one.
pub(super) fn read_call(call: shape::Call<'_>, writer: &ChoiceWriter<'_>) -> Piece {
    let custom = call.function.is_none() && call.custom.is_some();
    let function = call.function.or(call.custom).unwrap_or_default();
    let signature = call.extra.google.thought_signature;
    Piece {
        index: call.index.0,
        id: call.id.non_empty().map(|id| writer.slice(id)),
        name: function.name.non_empty().map(|name| writer.slice(name)),
        arguments: function.arguments.and_then(|json| arguments(json, writer)),
        signature: signature.non_empty().map(|it| writer.slice(it)),
        custom,
    }
}

/// Reads a fragment of a legacy `function_call`; see [`read_call`].
pub(super) fn read_function_call(
    function: shape::Function<'_>,
    writer: &ChoiceWriter<'_>,
) -> Piece {
    let call = shape::Call {
        index: Count(Some(LEGACY_INDEX)),
        function: Some(function),
        ..shape::Call::default()
    };
    read_call(call, writer)
}

/// Returns arguments as JSON text: the content of the string, or the object that some servers send
/// in its place.
fn arguments(json: &RawValue, writer: &ChoiceWriter<'_>) -> Option<ByteString> {
    let text = json.get();
    let Some(inside) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return (text != "null").then(|| writer.data.slice_ref(text));
    };
    if inside.is_empty() {
        return None;
    }
    // Without escapes the content of the string is a slice of the payload.
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Some(writer.data.slice_ref(inside));
    }
    serde_json::from_str::<String>(text).ok().map(Into::into)
}
