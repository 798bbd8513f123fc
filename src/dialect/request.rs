//! The request that a dialect has parsed, before its body is translated.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::references;
use crate::model::ask::{Ask, AskHead, Reference};
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Returns a request that lacks its body and its headers, which the caller fills in.
pub(super) fn ask(
    head: AskHead,
    shape: Option<WireId>,
    models: Vec<ByteString>,
    references: Vec<Reference>,
    translate: fn(&[u8]) -> Result<Chat, Fault>,
) -> Ask {
    Ask {
        head: Arc::new(head),
        shape,
        body: Bytes::new(),
        models,
        headers: Vec::new(),
        translate,
        chat: references::translation(&references),
        references,
    }
}
