//! The wire `openai-responses`: the OpenAI Responses API (`POST /responses`) and compatible
//! servers.
//!
//! Invariants: a request of this shape is sent unchanged except for `model` and `stream`; a
//! translated request stores nothing at the provider, and requests reasoning summaries until the
//! provider rejects them; only a terminal event of the response itself completes an answer, never
//! `[DONE]` or the end of the body; items are identified by their index in the output, because some
//! servers change item ids between events.

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
use crate::model::learned::{Learned, Lesson};
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// The wire of the OpenAI Responses API.
#[derive(Debug)]
pub struct OpenaiResponses;

impl Wire for OpenaiResponses {
    fn id(&self) -> WireId {
        WireId::OpenaiResponses
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(
        &self,
        ask: &Ask,
        target: &Target,
        learned: &Learned,
        mode: Mode,
    ) -> Result<Draft, Fault> {
        ask::draft(ask, target, learned, mode)
    }

    fn lesson(&self, refusal: &Fault) -> Option<Lesson> {
        ask::rejects_summaries(refusal).then_some(Lesson::NoSummaries)
    }

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
