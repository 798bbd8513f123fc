//! The wire `openai-chat`: OpenAI Chat Completions and the servers compatible with it.
//!
//! Invariant: each kind of deviation of compatible servers is handled in one place: the forms of
//! tool calls in `frames/calls.rs`, the forms of the JSON in `shape.rs`, the counting of usage in
//! `frames/usage.rs`, and the forms of errors in `kit/refusal/openai.rs`.

mod ask;
mod frames;
mod refusal;
mod shape;
mod turns;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Decode, DecodeError, Draft, Mode, Wire};
use crate::codec::Framing;
use crate::codec::sse::Sse;
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::learned::Learned;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

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
        ask::draft(ask, target, mode)
    }

    /// Returns SSE for every content type, because some servers label their event streams as JSON.
    fn framing(&self, _: &str) -> Box<dyn Framing> {
        Box::new(Sse::default())
    }

    fn decoder(&self, _: &Target, seed: &str) -> Box<dyn Decode> {
        Box::new(frames::Decoder::new(seed))
    }

    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
        frames::read_whole(body, seed)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        refusal::read(status, headers, body)
    }
}
