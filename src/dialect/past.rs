//! Signatures that clients send back wrapped: each is for the wire that made it.

use std::collections::HashMap;

use super::object::Object;
use crate::model::chat::PastReasoning;
use crate::model::fault::Fault;
use crate::model::opaque_signature::{OpaqueSignature, SignatureData};
use crate::model::wire::WireId;

/// The signatures of calls, by the id of the call.
#[derive(Default)]
pub(super) struct CallSignatures(HashMap<String, (WireId, String)>);

impl CallSignatures {
    /// Finds them in `field` of the objects of type `kind`. They are found before the calls are
    /// read, because clients may have moved them to another place.
    ///
    /// # Errors
    /// A 400 that names the field and what was expected.
    pub(super) fn find(objects: &[Object<'_>], kind: &str, field: &str) -> Result<Self, Fault> {
        let mut found = HashMap::new();
        for object in objects {
            if object.text("type")?.as_deref() != Some(kind) {
                continue;
            }
            let wrapped = object.text(field)?;
            if let Some(OpaqueSignature { wire, data }) =
                wrapped.as_deref().and_then(OpaqueSignature::decode)
                && let (Some(id), Some(signature)) = (data.call, data.signature)
            {
                found.insert(id, (wire, signature));
            }
        }
        Ok(Self(found))
    }

    /// Takes the signature of a call, and the wire that made it. A signature is used once, even if
    /// a broken conversation repeats the id of a call.
    pub(super) fn take(&mut self, id: &str) -> (Option<WireId>, Option<String>) {
        self.0.remove(id).unzip()
    }
}

/// Returns the reasoning, with this text, whose signature was wrapped. `None` for the signature of a
/// call, which belongs to the call, and for a string that the client has changed.
pub(super) fn unwrapped(text: String, wrapped: &str) -> Option<PastReasoning> {
    let OpaqueSignature { wire, data } = OpaqueSignature::decode(wrapped)?;
    let SignatureData {
        signature,
        redacted,
        on_text,
        call,
    } = data;
    call.is_none().then_some(PastReasoning {
        text,
        signature,
        redacted,
        wire: Some(wire),
        on_text,
    })
}
