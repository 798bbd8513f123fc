//! What must come back of an answer, as the `encrypted_content` of a reasoning item.
//!
//! All of it is wrapped, that of this API's own wire too: the item goes under an id of ours, and
//! the provider takes its content back under its own alone.

use crate::model::event::{Signature, ToolCall};
use crate::model::opaque_signature::{Kept, OpaqueSignature};
use crate::model::wire::WireId;

/// A signature or an encrypted block, wrapped; none where there is nothing in it.
pub(super) fn of(it: &Signature) -> Option<String> {
    if it.signature.is_none() && it.redacted.is_none() {
        return None;
    }
    let text = |text: &Option<bytestring::ByteString>| text.as_ref().map(ToString::to_string);
    let kept = Kept {
        signature: text(&it.signature),
        redacted: text(&it.redacted),
        on_text: it.on_text,
        call: None,
    };
    Some(
        OpaqueSignature {
            wire: it.wire,
            kept,
        }
        .wrap(),
    )
}

/// The signature of a call that `wire` has made, wrapped; none where it has none.
pub(super) fn of_call(call: &ToolCall, wire: WireId) -> Option<String> {
    let signature = call.signature.as_ref()?.to_string();
    let kept = Kept {
        signature: Some(signature),
        call: Some(call.id.to_string()),
        ..Kept::default()
    };
    Some(OpaqueSignature { wire, kept }.wrap())
}
