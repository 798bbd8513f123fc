//! Where signatures and encrypted blocks go on their way out.
//!
//! What this API's own wire made goes as it is: a signature closes the thinking it signs, an
//! encrypted block is a `redacted_thinking`. What another wire made is wrapped into a
//! [`OpaqueSignature`], which clients bring back unchanged as they do any signature: in `signature`
//! where it signs visible thinking, else as the `data` of a `redacted_thinking` of its own (that of
//! a text behind the text, that of a tool call before the call).

use std::borrow::Cow;

use crate::model::event::{Signature, ToolCall};
use crate::model::opaque_signature::{Kept, OpaqueSignature};
use crate::model::wire::WireId;

/// The place of a signature.
pub(super) enum Place<'a> {
    /// The `signature` of thinking; of thinking without words where none is open.
    Thinking(Cow<'a, str>),
    /// The `data` of a block of its own.
    Redacted(Cow<'a, str>),
}

/// Where a signature goes; `thinking` says whether there are words which it can sign.
pub(super) fn place(it: &Signature, thinking: bool) -> Option<Place<'_>> {
    let own = it.wire == WireId::Anthropic;
    match (&it.signature, &it.redacted) {
        (None, None) => None,
        (Some(signature), None) if own && !it.on_text => {
            Some(Place::Thinking(Cow::Borrowed(signature)))
        }
        (None, Some(data)) if own => Some(Place::Redacted(Cow::Borrowed(data))),
        (Some(_), None) if thinking && !it.on_text => {
            Some(Place::Thinking(Cow::Owned(wrapped(it))))
        }
        _ => Some(Place::Redacted(Cow::Owned(wrapped(it)))),
    }
}

fn wrapped(it: &Signature) -> String {
    let text = |text: &Option<bytestring::ByteString>| text.as_ref().map(ToString::to_string);
    let kept = Kept {
        signature: text(&it.signature),
        redacted: text(&it.redacted),
        on_text: it.on_text,
        call: None,
    };
    OpaqueSignature {
        wire: it.wire,
        kept,
    }
    .wrap()
}

/// The signature of a tool call that `wire` has made.
pub(super) fn of_call(id: &str, signature: &str, wire: WireId) -> String {
    let kept = Kept {
        signature: Some(signature.to_owned()),
        call: Some(id.to_owned()),
        ..Kept::default()
    };
    OpaqueSignature { wire, kept }.wrap()
}

/// The signature of a call, wrapped; none where it has none.
pub(super) fn call_data(call: &ToolCall, wire: WireId) -> Option<String> {
    call.signature
        .as_ref()
        .map(|signature| of_call(&call.id, signature, wire))
}
