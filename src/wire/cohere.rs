//! The wire `cohere`: Cohere's chat API of version 2 (`POST /chat` below
//! `https://api.cohere.com/v2`).
//!
//! Invariants: pure; only `message-end` without an error completes an answer; every content block
//! and delta becomes an event, a normalized one or [`Event::Raw`](crate::model::event::Event).
//! Thinking and tool plans are followed by a signature made here that states their wire and which
//! of the two they are; they are sent back to this wire only.

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

/// The wire of Cohere's chat API.
#[derive(Debug)]
pub struct Cohere;

impl Wire for Cohere {
    fn id(&self) -> WireId {
        WireId::Cohere
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(&self, ask: &Ask, target: &Target, _: &Learned, mode: Mode) -> Result<Draft, Fault> {
        ask::draft(ask, target, mode)
    }

    fn framing(&self, _content_type: &str) -> Box<dyn Framing> {
        Box::<Sse>::default()
    }

    fn decoder(&self, _target: &Target, seed: &str) -> Box<dyn Decode> {
        Box::new(frames::Decoder::new(seed))
    }

    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
        frames::read_whole(body, seed)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        refusal::read(status, headers, body)
    }
}
