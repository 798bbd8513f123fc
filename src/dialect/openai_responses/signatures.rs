//! Signatures and encrypted blocks that a provider needs back, as the `encrypted_content` of a
//! reasoning item.
//!
//! All of them are wrapped, those of this API's own wire too: the item has an id of ours, and the
//! provider accepts its content only under its own id.

use crate::model::event::{Signature, ToolCall};
use crate::model::opaque_signature::{OpaqueSignature, SignatureData};
use crate::model::wire::WireId;

/// Wraps a signature or an encrypted block; `None` if both are absent.
pub(super) fn wrap(it: &Signature) -> Option<String> {
    if it.signature.is_none() && it.redacted.is_none() {
        return None;
    }
    let text = |text: &Option<bytestring::ByteString>| text.as_ref().map(ToString::to_string);
    let kept = SignatureData {
        signature: text(&it.signature),
        redacted: text(&it.redacted),
        on_text: it.on_text,
        call: None,
    };
    Some(
        OpaqueSignature {
            wire: it.wire,
            data: kept,
        }
        .encode(),
    )
}

/// Wraps the signature of a call that `wire` has made; `None` if the call has none.
pub(super) fn wrap_call_signature(call: &ToolCall, wire: WireId) -> Option<String> {
    let signature = call.signature.as_ref()?.to_string();
    let kept = SignatureData {
        signature: Some(signature),
        call: Some(call.id.to_string()),
        ..SignatureData::default()
    };
    Some(OpaqueSignature { wire, data: kept }.encode())
}
