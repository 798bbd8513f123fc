//! Decodes a non-streaming answer: the payload of a stream, with a `message` in each choice in
//! place of a `delta`.

use bytes::Bytes;

use super::Decoder;
use crate::codec::text;
use crate::model::event::Events;
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::{DecodeError, Decoded};

/// Decodes a whole answer into its events and usage.
///
/// # Errors
/// When the body cannot be read, has no choices, or reports an error under status 200.
pub(in crate::wire::openai_chat) fn read_whole(
    body: &Bytes,
    seed: &str,
) -> Result<(Events, Option<Usage>), DecodeError> {
    let body = text::from_bytes(body);
    let mut decoder = Decoder::new(seed);
    let mut out = Decoded::default();
    decoder.read_chunk(&body, &mut out)?;
    // `complete` would make an empty answer of a body without choices.
    if decoder.choices.is_empty() {
        let what = "an answer without choices";
        return Err(DecodeError::malformed(WireId::OpenaiChat, what));
    }
    decoder.complete(&mut out)?;
    Ok((out.events, decoder.usage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Reason;
    use crate::model::fold::{Answer, Part};

    fn decoded(body: &'static str) -> Result<(Answer, Option<Usage>), DecodeError> {
        read_whole(&Bytes::from_static(body.as_bytes()), "seed")
            .map(|(events, usage)| (Answer::from_events(&events), usage))
    }

    #[test]
    fn a_message_becomes_events() {
        let (answer, usage) = decoded(r#"

            {"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null,
            "reasoning_content":"hm","annotations":[{"type":"url_citation","url_citation":{"url":"https://a.example","title":"A","start_index":0,"end_index":2}}],
            "tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"t2","type":"custom","custom":{"name":"g","input":"go"}}]},
            "finish_reason":"tool_calls"},{"index":1,"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#)
        .unwrap();
        let [first, second] = &answer.choices[..] else {
            panic!("two choices")
        };
        assert_eq!(
            (&*first.text(), &*first.reasoning(), &*second.refusal()),
            ("hi", "hm", "no")
        );
        assert_eq!(first.finish.as_ref().unwrap().reason, Reason::ToolCalls);
        let calls: Vec<_> = first
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::ToolCall {
                    index,
                    id,
                    name,
                    arguments,
                    custom,
                    ..
                } => Some((*index, &**id, &**name, &**arguments, *custom)),
                _ => None,
            })
            .collect();
        assert_eq!(
            calls,
            [
                (0, "t1", "f", "{\"a\":1}", false),
                (1, "t2", "g", "go", true)
            ]
        );
        assert!(
            first.parts.iter().any(
                |part| matches!(part, Part::Citation(it) if it.url.as_deref() == Some("https://a.example") && it.span == Some((0, 2)))
            )
        );
        assert_eq!(usage.unwrap().total(), Some(7));
    }

    #[test]
    fn an_error_with_status_200_is_an_upstream_error() {
        let error = decoded(r#"{"error":{"message":"bad upstream","code":502}}"#).unwrap_err();
        assert!(matches!(error, DecodeError::Upstream(fault) if fault.status == 502));
    }

    #[test]
    fn bodies_without_choices_are_malformed() {
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{"message":"#,
        ] {
            assert!(
                matches!(decoded(body), Err(DecodeError::Malformed { .. })),
                "{body}"
            );
        }
    }
}
