//! The wire of OpenAI Chat Completions and of everything compatible with it.
//!
//! Invariant: what compatible servers do their own way is known in one place each: how tool calls
//! come (`calls`), what the JSON may look like (`shape`), how usage is counted (`usage`); how
//! errors are said, beside it in `openai_error`.

mod body;
mod calls;
mod decode;
mod draft;
mod foreign;
mod shape;
mod sources;
mod speech;
mod usage;
mod whole;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Decode, DecodeError, Draft, Mode, Wire, openai_error};
use crate::codec::Framing;
use crate::codec::sse::Sse;
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

pub(super) use self::body::nearest_effort;

/// The wire.
#[derive(Debug)]
pub struct OpenaiChat;

impl Wire for OpenaiChat {
    fn id(&self) -> WireId {
        WireId::OpenaiChat
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(&self, ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
        draft::draft(ask, target, mode)
    }

    /// Whatever the content type says: some servers call their events JSON.
    fn framing(&self, _: &str) -> Box<dyn Framing> {
        Box::new(Sse::default())
    }

    fn decoder(&self, _: &Target, seed: &str) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(seed))
    }

    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
        whole::whole(body, seed)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        openai_error::of_body(status, headers, body)
    }
}

fn malformed(what: &str) -> DecodeError {
    DecodeError::Malformed {
        wire: WireId::OpenaiChat.name(),
        what: what.to_owned(),
    }
}
