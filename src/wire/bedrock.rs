//! The wire `bedrock`: AWS Bedrock Converse (`POST /model/{model}/converse-stream`).
//!
//! Invariants: pure; what a target of this wire cannot do is a 400 that names the field, never a
//! silent change of meaning. Success is `metadata` after `messageStop`; as nothing of the answer
//! can come between the two, a body that properly ends there without its `metadata` is complete as
//! well, and its usage estimated. What a server's own tools do, and pictures that a model makes,
//! are [`Event::Raw`](crate::model::event::Event), never calls for the client.

mod blocks;
mod decode;
mod draft;
mod refusal;
mod shape;
mod whole;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Decode, DecodeError, Draft, Mode, Wire};
use crate::codec::Framing;
use crate::codec::aws::AwsEventStream;
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// AWS Bedrock Converse.
#[derive(Debug)]
pub struct Bedrock;

impl Wire for Bedrock {
    fn id(&self) -> WireId {
        WireId::Bedrock
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(&self, ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
        draft::draft(ask, target, mode)
    }

    fn framing(&self, _content_type: &str) -> Box<dyn Framing> {
        Box::<AwsEventStream>::default()
    }

    fn decoder(&self, _target: &Target, seed: &str) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(seed))
    }

    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
        whole::read(body, seed)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        refusal::read(status, headers, body)
    }
}
