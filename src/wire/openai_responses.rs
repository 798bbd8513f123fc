//! The wire `openai-responses`: OpenAI Responses (`POST /responses`) and what is compatible with
//! it.
//!
//! Invariants: a request of this shape goes out as it came but for `model` and `stream`; a
//! translated one leaves nothing stored at the provider, and asks for summaries of reasoning until
//! the account refuses them; success is a terminal event of the response itself, never `[DONE]` or
//! an end of the body; items are known by their place in the output, as some servers change their
//! ids between events.

mod decode;
mod draft;
mod items;
mod shape;
mod speech;
mod usage;
mod whole;

use std::sync::atomic::Ordering;

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

/// OpenAI Responses.
#[derive(Debug)]
pub struct OpenaiResponses;

impl Wire for OpenaiResponses {
    fn id(&self) -> WireId {
        WireId::OpenaiResponses
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(&self, ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
        draft::draft(ask, target, mode)
    }

    fn learn(&self, refusal: &Fault, target: &Target) -> bool {
        let learned = draft::refuses_summaries(refusal);
        if learned {
            target.provider.no_summaries.store(true, Ordering::Relaxed);
        }
        learned
    }

    fn framing(&self, _: &str) -> Box<dyn Framing> {
        Box::new(Sse::default())
    }

    fn decoder(&self, _: &Target, seed: &str) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(seed))
    }

    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
        whole::read(body, seed)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        openai_error::of_body(status, headers, body)
    }
}
