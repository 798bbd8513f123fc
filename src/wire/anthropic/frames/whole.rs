//! Decodes a non-streaming answer, which contains the same blocks as a stream.

use bytes::Bytes;
use serde::Deserialize;

use super::super::refusal;
use super::super::shape::Message;
use super::blocks::Blocks;
use super::ending::Ending;
use super::usage::UsageCounter;
use crate::codec::text;
use crate::model::event::Events;
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::DecodeError;
use crate::wire::kit::sink::{self, Sink};

/// Decodes a whole answer into its events and usage.
pub(in super::super) fn read_whole(
    body: &Bytes,
    seed: &str,
) -> Result<(Events, Option<Usage>), DecodeError> {
    let body = text::from_bytes(body);
    let message: Message<'_> = sink::read(WireId::Anthropic, &body, "the answer")?;
    // Some servers answer an error under a good status.
    if message.error.is_some() || message.kind.is_some_and(|kind| kind.as_str() == "error") {
        return Err(DecodeError::Upstream(Box::new(refusal::read_payload(
            &body,
        ))));
    }
    // An empty answer has an empty list; a body without one is not an answer.
    let content = message
        .content
        .ok_or_else(|| DecodeError::malformed(WireId::Anthropic, "the answer has no content"))?;
    let (mut events, mut blocks) = (Events::new(), Blocks::new(seed));
    let sink = &mut Sink::new(WireId::Anthropic, &body, &mut events);
    for block in content.0 {
        blocks.whole_block(block, sink)?;
    }
    let mut ending = Ending::default();
    ending.record(message.stop_reason.as_ref(), message.stop_details, sink);
    sink.push(ending.finish(blocks.has_calls()));
    let mut counter = UsageCounter::default();
    if let Some(usage) = message.usage {
        counter.read_usage(usage)?;
    }
    Ok((events, counter.changed()))
}

/// Returns the token count in the answer to `POST /messages/count_tokens`.
pub(in super::super) fn read_token_count(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Count {
        input_tokens: u64,
    }
    serde_json::from_slice::<Count>(body)
        .ok()
        .map(|count| count.input_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Reason;
    use crate::model::fault::Code;
    use crate::model::fold::{Answer, Part};

    fn answer(body: &str) -> (Answer, Option<Usage>) {
        let (events, usage) = read_whole(&Bytes::copy_from_slice(body.as_bytes()), "seed").unwrap();
        (Answer::from_events(&events), usage)
    }

    #[test]
    fn every_kind_of_block_is_read() {
        let (answer, usage) = answer(
            r#"{"id":"msg","type":"message","content":[
            {"type":"thinking","thinking":"hm","signature":"S"},{"type":"redacted_thinking","data":"R"},
            {"type":"text","text":"Hi","citations":[{"type":"x","url":"u"}]},
            {"type":"server_tool_use","id":"s","name":"web_search","input":{"q":1}},
            {"type":"tool_use","id":"a","name":"f","input":{"x":[1, 2]}},{"type":"tool_use","id":"b","name":"g","input":{}}],
            "stop_reason":"tool_use","usage":{"input_tokens":5,"cache_creation_input_tokens":2,"output_tokens":9}}"#,
        );
        let choice = &answer.choices[0];
        assert_eq!(
            (choice.reasoning(), choice.text()),
            ("hm".to_owned(), "Hi".to_owned())
        );
        assert_eq!(choice.parts.len(), 8, "{:?}", choice.parts);
        assert!(
            matches!(&choice.parts[5], Part::Raw(raw) if raw.data.ends_with(r#""input":{"q":1}}"#))
        );
        let calls: Vec<_> = choice
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::ToolCall {
                    index,
                    name,
                    arguments,
                    ..
                } => Some((*index, &**name, arguments.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(calls, [(0, "f", r#"{"x":[1, 2]}"#), (1, "g", "")]);
        assert_eq!(choice.finish.as_ref().unwrap().reason, Reason::ToolCalls);
        let usage = usage.unwrap();
        assert_eq!(
            (usage.input, usage.cache_write, usage.output),
            (Some(7), Some(2), Some(9))
        );
    }

    #[test]
    fn the_token_count_is_read() {
        assert_eq!(
            read_token_count(br#"{"input_tokens":2095,"x":{}}"#),
            Some(2095)
        );
        assert_eq!(read_token_count(b"{}"), None);
    }

    #[test]
    fn an_error_under_a_good_status_is_read() {
        let body = Bytes::from_static(
            br#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
        );
        let Err(DecodeError::Upstream(fault)) = read_whole(&body, "s") else {
            panic!("an error")
        };
        assert_eq!(fault.code, Code::Overloaded);
    }

    #[test]
    fn a_body_that_is_not_an_answer_is_malformed() {
        for body in [
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"content":"text"}"#,
            r#"{"content":[{"type":"text","text":1}]}"#,
        ] {
            let read = read_whole(&Bytes::copy_from_slice(body.as_bytes()), "s");
            assert!(matches!(read, Err(DecodeError::Malformed { .. })), "{body}");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let body = Bytes::from_static(
            b"{\"content\":[{\"type\":\"text\",\"text\":\"a\xffb\"}],\"stop_reason\":\"end_turn\"}",
        );
        let (events, usage) = read_whole(&body, "s").unwrap();
        assert_eq!(Answer::from_events(&events).choices[0].text(), "a\u{fffd}b");
        assert_eq!(usage, None);
    }
}
