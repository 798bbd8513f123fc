//! The wire `anthropic`: Anthropic Messages (`POST /messages`).
//!
//! Invariants: pure; a request that has this shape is sent unchanged except for `model`, `stream`
//! and thinking that other wires made; only `message_stop` completes an answer; every content block
//! and delta becomes an event, a normalized one or [`Event::Raw`](crate::model::event::Event).

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

/// The wire of the Anthropic Messages API.
#[derive(Debug)]
pub struct Anthropic;

impl Wire for Anthropic {
    fn id(&self) -> WireId {
        WireId::Anthropic
    }

    fn auth(&self) -> Auth {
        Auth::Header("x-api-key")
    }

    fn draft(&self, ask: &Ask, target: &Target, _: &Learned, mode: Mode) -> Result<Draft, Fault> {
        ask::draft(ask, target, mode)
    }

    fn draft_count(&self, ask: &Ask, target: &Target) -> Option<Result<Draft, Fault>> {
        ask::count(ask, target)
    }

    fn read_token_count(&self, body: &[u8]) -> Option<u64> {
        frames::read_token_count(body)
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
