//! Places of signatures and encrypted blocks in a message.
//!
//! Signatures of this API's own wire are written unchanged: a signature closes the thinking that it
//! signs, and an encrypted block is a `redacted_thinking`. Those of another wire are wrapped into
//! an [`OpaqueSignature`], which clients send back unchanged like any signature. It stands in
//! `signature` if it signs visible thinking, otherwise in `data` of a `redacted_thinking` block:
//! after the text that it signs, or before the tool call that it signs.

use std::borrow::Cow;

use crate::model::event::Signature;
use crate::model::opaque_signature::OpaqueSignature;
use crate::model::wire::WireId;

/// The place of a signature.
pub(super) enum Place<'a> {
    /// The `signature` of the open thinking block, or of an empty one if none is open.
    Thinking(Cow<'a, str>),
    /// The `data` of a `redacted_thinking` block.
    Redacted(Cow<'a, str>),
}

/// Returns the place of a signature; `thinking` is true while a thinking block is open that it can
/// sign.
pub(super) fn place(it: &Signature, thinking: bool) -> Option<Place<'_>> {
    let own = it.wire == WireId::Anthropic;
    match (&it.signature, &it.redacted) {
        (None, None) => None,
        (Some(signature), None) if own && !it.on_text => {
            Some(Place::Thinking(Cow::Borrowed(signature)))
        }
        (None, Some(data)) if own => Some(Place::Redacted(Cow::Borrowed(data))),
        (Some(_), None) if thinking && !it.on_text => Some(Place::Thinking(Cow::Owned(wrap(it)))),
        // No visible thinking to sign: a block of its own is the only place left.
        _ => Some(Place::Redacted(Cow::Owned(wrap(it)))),
    }
}

fn wrap(it: &Signature) -> String {
    OpaqueSignature::new(it).encode()
}
