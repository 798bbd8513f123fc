//! Signatures and encrypted blocks that a provider needs back, as the `encrypted_content` of a
//! reasoning item.
//!
//! All of them are wrapped, those of this API's own wire too: the item has an id of ours, and the
//! provider accepts its content only under its own id.

use crate::model::event::{Signature, ToolCall};
use crate::model::opaque_signature::OpaqueSignature;
use crate::model::wire::WireId;

/// Wraps a signature or an encrypted block; `None` if both are absent.
pub(super) fn wrap(it: &Signature) -> Option<String> {
    let has_content = it.signature.is_some() || it.redacted.is_some();
    has_content.then(|| OpaqueSignature::new(it).encode())
}

/// Wraps the signature of a call that `wire` has made; `None` if the call has none.
pub(super) fn wrap_call_signature(call: &ToolCall, wire: WireId) -> Option<String> {
    let signature = call.signature.as_ref()?;
    Some(OpaqueSignature::for_call(&call.id, signature, wire).encode())
}
