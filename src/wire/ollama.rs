//! The wire `ollama`: Ollama's native chat API (`POST /api/chat`), one JSON object per line.
//!
//! Invariants: no I/O; only an object with `done: true` completes an answer; every member of a
//! message becomes an event, a normalized one or [`Event::Raw`](crate::model::event::Event). A
//! block of thinking is closed by a signature event that names this wire, and clients' thinking is
//! sent back to this wire only.

mod ask;
mod frames;
mod refusal;
mod shape;
mod turns;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Decode, DecodeError, Draft, Mode, Wire};
use crate::codec::Framing;
use crate::codec::ndjson::Ndjson;
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::learned::Learned;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// The implementation of the wire `ollama`.
#[derive(Debug)]
pub struct Ollama;

impl Wire for Ollama {
    fn id(&self) -> WireId {
        WireId::Ollama
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(&self, ask: &Ask, target: &Target, _: &Learned, mode: Mode) -> Result<Draft, Fault> {
        ask::draft(ask, target, mode)
    }

    fn framing(&self, _content_type: &str) -> Box<dyn Framing> {
        Box::<Ndjson>::default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Reason;
    use crate::model::fold::{Answer, Part};

    fn whole(body: &'static str) -> Result<(Answer, Option<Usage>), DecodeError> {
        Ollama
            .whole(&Bytes::from_static(body.as_bytes()), "seed")
            .map(|(events, usage)| (Answer::from_events(&events), usage))
    }

    #[test]
    fn a_non_streaming_body_decodes_like_its_stream() {
        let (answer, usage) = whole(
            r#"{"model":"m","message":{"role":"assistant","content":"Hi","thinking":"hm","tool_calls":[{"function":{"name":"f","arguments":{"x": 1}}}]},
                "done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4}
            "#,
        )
        .unwrap();
        let choice = &answer.choices[0];
        assert_eq!((&*choice.text(), &*choice.reasoning()), ("Hi", "hm"));
        assert!(
            matches!(&choice.parts[..], [.., Part::ToolCall { id, arguments, .. }] if id == "call_seed_0" && arguments == r#"{"x": 1}"#)
        );
        assert_eq!(choice.finish.as_ref().unwrap().reason, Reason::ToolCalls);
        assert_eq!(usage.unwrap().total(), Some(7));
    }

    #[test]
    fn a_non_streaming_body_may_be_an_error_or_incomplete() {
        assert!(matches!(
            whole(r#"{"error":"busy"}"#),
            Err(DecodeError::Upstream(_))
        ));
        assert!(matches!(
            whole(r#"{"message":{"content":"Hi"},"done":false}"#),
            Err(DecodeError::CutShort)
        ));
        for body in ["", "<html>", "[]", r#"{"done":true"#] {
            assert!(
                matches!(whole(body), Err(DecodeError::Malformed { .. })),
                "{body}"
            );
        }
    }
}
