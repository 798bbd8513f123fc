//! The wire `openai-chat`: OpenAI Chat Completions and the servers compatible with it.
//!
//! Invariant: each kind of deviation of compatible servers is handled in one place: the forms of
//! tool calls in `calls`, the forms of the JSON in `shape`, the counting of usage in `usage`, and
//! the forms of errors in the neighbouring module `openai_error`.

mod body;
mod calls;
mod decode;
mod delta;
mod draft;
mod foreign;
mod shape;
mod sources;
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
use crate::model::learned::Learned;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

pub(super) use self::body::nearest_effort;

/// The implementation of the wire `openai-chat`.
#[derive(Debug)]
pub struct OpenaiChat;

impl Wire for OpenaiChat {
    fn id(&self) -> WireId {
        WireId::OpenaiChat
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(&self, ask: &Ask, target: &Target, _: &Learned, mode: Mode) -> Result<Draft, Fault> {
        draft::draft(ask, target, mode)
    }

    /// Returns SSE for every content type, because some servers label their event streams as JSON.
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
        openai_error::from_body(status, headers, body)
    }
}

/// Returns the error for a payload that does not follow this wire's format.
fn malformed(what: &str) -> DecodeError {
    DecodeError::Malformed {
        wire: WireId::OpenaiChat.name(),
        what: what.to_owned(),
    }
}
