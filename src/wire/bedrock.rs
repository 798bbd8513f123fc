//! The wire `bedrock`: AWS Bedrock Converse (`POST /model/{model}/converse-stream`).
//!
//! Invariants: pure; a request for something that the target does not support is rejected with a
//! 400 that names the field, never changed in meaning. An answer is complete once both
//! `messageStop` and `metadata` have arrived. Calls of a server's own tools and images that a model
//! generates become [`Event::Raw`](crate::model::event::Event), never calls for the client.

mod ask;
mod frames;
mod refusal;
mod shape;
mod turns;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Decode, DecodeError, Draft, Mode, Wire};
use crate::codec::Framing;
use crate::codec::aws::AwsEventStream;
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::learned::Learned;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// The wire of the AWS Bedrock Converse API.
#[derive(Debug)]
pub struct Bedrock;

impl Wire for Bedrock {
    fn id(&self) -> WireId {
        WireId::Bedrock
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(&self, ask: &Ask, target: &Target, _: &Learned, mode: Mode) -> Result<Draft, Fault> {
        ask::draft(ask, target, mode)
    }

    fn framing(&self, _content_type: &str) -> Box<dyn Framing> {
        Box::<AwsEventStream>::default()
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
