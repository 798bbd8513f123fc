//! Google Gemini: `generateContent` and `streamGenerateContent`.
//!
//! Invariants: nothing is terminal but the end of the body; thought signatures go back only where
//! this wire made them; what a target of this wire cannot do is a 400 that names the field, never a
//! silent change of meaning. Dropped without a word is what only advises: `parallel_tool_calls`,
//! `verbosity`, `user`, `metadata`, names of participants, image detail, file names, `strict`.

mod arguments;
mod characters;
mod choice;
mod citation;
mod count;
mod decode;
mod draft;
mod finish;
mod refusal;
mod request;
mod schema;
mod turns;

use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, StatusCode};

use super::{Decode, DecodeError, Decoded, Draft, Mode, Wire};
use crate::codec::json_array::JsonArray;
use crate::codec::sse::Sse;
use crate::codec::{Frame, FrameKind, Framing};
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// The wire `gemini`.
#[derive(Debug)]
pub struct Gemini;

impl Wire for Gemini {
    fn id(&self) -> WireId {
        WireId::Gemini
    }

    fn auth(&self) -> Auth {
        Auth::Header("x-goog-api-key")
    }

    fn draft(&self, ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
        draft::draft(ask, target, mode)
    }

    fn count(&self, ask: &Ask, target: &Target) -> Option<Result<Draft, Fault>> {
        Some(count::draft(ask, target))
    }

    fn counted(&self, body: &[u8]) -> Option<u64> {
        count::read(body)
    }

    /// A JSON array where the answer says so, else SSE: what is no SSE comes out of it as stray
    /// lines.
    fn framing(&self, content_type: &str) -> Box<dyn Framing> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/json") {
            Box::new(JsonArray::default())
        } else {
            Box::new(Sse::default())
        }
    }

    fn decoder(&self, _: &Target, seed: &str) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(seed))
    }

    fn whole(&self, body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
        let data =
            ByteString::try_from(body.clone()).map_err(|_| malformed("the body is not UTF-8"))?;
        let (mut decoder, mut out) = (decode::Decoder::new(seed), Decoded::default());
        decoder.decode(
            &Frame {
                name: ByteString::new(),
                data,
                kind: FrameKind::Whole,
            },
            &mut out,
        )?;
        decoder.finish(&mut out)?;
        Ok((out.events, out.usage))
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        refusal::refusal(status, headers, body)
    }
}

/// A frame that is not of this wire.
fn malformed(what: &str) -> DecodeError {
    DecodeError::Malformed {
        wire: WireId::Gemini.name(),
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::model::event::{Event, Reason};
    use crate::model::fold::Answer;

    #[test]
    fn the_content_type_decides_the_framing() {
        let body = "[{\"a\":1}\n]";
        for (content_type, frames) in [
            ("application/json; charset=UTF-8", 1),
            ("Application/JSON", 1),
            ("text/event-stream", 0),
            ("", 0),
        ] {
            let (mut framing, mut buf, mut count) =
                (Gemini.framing(content_type), BytesMut::from(body), 0);
            while framing.next(&mut buf).unwrap().is_some() {
                count += 1;
            }
            assert_eq!(count, frames, "{content_type}");
        }
    }

    #[test]
    fn a_whole_body_is_what_its_stream_would_be() {
        let body = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"},{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}],
            "usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}"#;
        let (events, usage) = Gemini
            .whole(&Bytes::from_static(body.as_bytes()), "seed")
            .unwrap();
        let answer = Answer::of(&events);
        assert_eq!(answer.choices[0].text(), "Hi");
        assert!(
            matches!(events.last(), Some(Event::Finish(finish)) if finish.reason == Reason::ToolCalls)
        );
        assert_eq!(usage.and_then(|usage| usage.total()), Some(3));
    }

    #[test]
    fn a_whole_body_can_be_an_error_or_nothing() {
        let of = |body: &'static [u8]| Gemini.whole(&Bytes::from_static(body), "seed");
        assert!(matches!(
            of(b"[{\"error\":{\"code\":503}}]"),
            Err(DecodeError::Upstream(_))
        ));
        assert!(matches!(
            of(b"{\"candidates\":[]}"),
            Err(DecodeError::CutShort)
        ));
        assert!(matches!(of(b"\xff"), Err(DecodeError::Malformed { .. })));
        assert!(matches!(of(b"<html>"), Err(DecodeError::Malformed { .. })));
    }
}
