//! The wire `gemini`: Google's `generateContent` and `streamGenerateContent`.
//!
//! Invariants: only the end of the body is terminal; a thought signature is sent back only if this
//! wire made it; a request that a target of this wire does not support is rejected with a 400 that
//! names the field, and its meaning never changes silently.

mod ask;
mod frames;
mod refusal;
mod shape;
mod turns;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Decode, DecodeError, Draft, Mode, Wire};
use crate::codec::Framing;
use crate::codec::json_array::JsonArray;
use crate::codec::sse::Sse;
use crate::model::ask::Ask;
use crate::model::event::Events;
use crate::model::fault::Fault;
use crate::model::learned::Learned;
use crate::model::target::{Auth, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// The implementation of the wire `gemini`.
#[derive(Debug)]
pub struct Gemini;

impl Wire for Gemini {
    fn id(&self) -> WireId {
        WireId::Gemini
    }

    fn auth(&self) -> Auth {
        // The alternative, `?key=` in the URL, would put the key into logs.
        Auth::Header("x-goog-api-key")
    }

    fn draft(&self, ask: &Ask, target: &Target, _: &Learned, mode: Mode) -> Result<Draft, Fault> {
        ask::draft(ask, target, mode)
    }

    fn draft_count(&self, ask: &Ask, target: &Target) -> Option<Result<Draft, Fault>> {
        Some(ask::count(ask, target))
    }

    fn read_token_count(&self, body: &[u8]) -> Option<u64> {
        ask::read_token_count(body)
    }

    /// Returns the framing for a content type: a JSON array for `application/json`, else SSE. Lines
    /// that are not SSE, such as Google's bare error objects, come out of it as stray frames.
    fn framing(&self, content_type: &str) -> Box<dyn Framing> {
        // Without `alt=sse` Google sends the stream as one JSON array.
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/json") {
            Box::new(JsonArray::default())
        } else {
            Box::new(Sse::default())
        }
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::model::event::{Event, Reason};
    use crate::model::fold::Answer;

    #[test]
    fn the_content_type_selects_the_framing() {
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
    fn a_non_streaming_body_decodes_like_its_stream() {
        let body = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"},{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}],
            "usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}"#;
        let (events, usage) = Gemini
            .whole(&Bytes::from_static(body.as_bytes()), "seed")
            .unwrap();
        let answer = Answer::from_events(&events);
        assert_eq!(answer.choices[0].text(), "Hi");
        assert!(
            matches!(events.last(), Some(Event::Finish(finish)) if finish.reason == Reason::ToolCalls)
        );
        assert_eq!(usage.and_then(|usage| usage.total()), Some(3));
    }

    #[test]
    fn a_non_streaming_body_may_be_an_error_or_empty() {
        let whole = |body: &'static [u8]| Gemini.whole(&Bytes::from_static(body), "seed");
        assert!(matches!(
            whole(b"[{\"error\":{\"code\":503}}]"),
            Err(DecodeError::Upstream(_))
        ));
        assert!(matches!(
            whole(b"{\"candidates\":[]}"),
            Err(DecodeError::CutShort)
        ));
        assert!(matches!(whole(b"\xff"), Err(DecodeError::Malformed { .. })));
        assert!(matches!(
            whole(b"<html>"),
            Err(DecodeError::Malformed { .. })
        ));
    }
}
