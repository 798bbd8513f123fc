//! The wire `ollama`: Ollama's own chat (`POST /api/chat`), one JSON object a line.
//!
//! Invariants: pure; success is an object with `done: true` and nothing else; every member of a
//! message becomes an event, known or [`Event::Raw`](crate::model::event::Event). Thinking comes
//! with a mark of ours that says who made it, and goes back to this wire only.

mod decode;
mod draft;
mod refusal;
mod shape;
mod turns;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Decode, DecodeError, Decoded, Draft, Mode, Wire};
use crate::codec::ndjson::Ndjson;
use crate::codec::{Framing, text};
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// Ollama.
#[derive(Debug)]
pub struct Ollama;

impl Wire for Ollama {
    fn id(&self) -> WireId {
        WireId::Ollama
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn draft(&self, ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
        draft::draft(ask, target, mode)
    }

    fn framing(&self, _content_type: &str) -> Box<dyn Framing> {
        Box::<Ndjson>::default()
    }

    fn decoder(&self, _target: &Target, seed: &str) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(seed))
    }

    /// A whole answer is the one line of a stream.
    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
        let (mut decoder, mut out) = (decode::Decoder::new(seed), Decoded::default());
        decoder.line(&text::of_bytes(body), &mut out)?;
        decoder.finish(&mut out)?;
        Ok((out.events, out.usage))
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
            .map(|(events, usage)| (Answer::of(&events), usage))
    }

    #[test]
    fn a_whole_answer_is_what_its_stream_would_be() {
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
    fn a_whole_body_can_be_an_error_or_nothing() {
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
