//! Decodes a non-streaming answer, which contains the same blocks as a stream.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::refusal;
use super::super::shape::{Answer, Block, Reasoning, WholeReasoning};
use super::blocks::{Blocks, write_reasoning};
use super::citations::write_citation;
use super::ending::finish;
use super::usage::read_usage;
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
    let answer: Answer<'_> = sink::read(WireId::Bedrock, &body, "the answer")?;
    // A body without output is an exception under a good status.
    let Some(output) = answer.output else {
        return Err(DecodeError::Upstream(Box::new(refusal::read_payload(
            "", &body,
        ))));
    };
    let (mut events, mut blocks) = (Events::new(), Blocks::new(seed));
    let sink = &mut Sink::new(WireId::Bedrock, &body, &mut events);
    for json in output.message.content.0 {
        read_block(json, &mut blocks, sink)?;
    }
    let native = answer.stop_reason.map(|native| native.share(&body));
    sink.push(finish(native, blocks.has_calls()));
    Ok((events, answer.usage.as_ref().map(read_usage)))
}

fn read_block(
    json: &RawValue,
    blocks: &mut Blocks,
    sink: &mut Sink<'_>,
) -> Result<(), DecodeError> {
    let block: Block<'_> = sink.read(json, "a content block")?;
    match block {
        Block {
            text: Some(text), ..
        } => sink.text(text.share(sink.frame)),
        // Calls that a server has run fall through and are carried raw.
        Block {
            tool_use: Some(tool),
            ..
        } if tool.is_client_call() => {
            blocks.whole_call(&tool, sink)?;
        }
        Block {
            reasoning_content: Some(reasoning),
            ..
        } => {
            let WholeReasoning {
                reasoning_text,
                redacted_content,
            } = reasoning;
            let text = reasoning_text.unwrap_or_default();
            write_reasoning(
                &Reasoning {
                    redacted_content,
                    ..text
                },
                sink,
            );
        }
        Block {
            citations_content: Some(cited),
            ..
        } => {
            // The cited text is part of the answer; its citations follow it.
            for text in cited.content.0.into_iter().filter_map(|quote| quote.text) {
                sink.text(text.share(sink.frame));
            }
            for json in cited.citations.0 {
                write_citation(json, sink);
            }
        }
        _ => sink.raw(json),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Reason;
    use crate::model::fault::Code;
    use crate::model::fold;

    #[test]
    fn every_kind_of_block_is_read() {
        let body = r#"{"output":{"message":{"role":"assistant","content":[
            {"reasoningContent":{"reasoningText":{"text":"hm","signature":"S"}}},{"reasoningContent":{"redactedContent":"UjE="}},
            {"text":"Hi"},{"citationsContent":{"content":[{"text":" there"}],"citations":[{"title":"t"}]}},
            {"toolUse":{"toolUseId":"s","name":"web","type":"server_tool_use","input":{"q":1}}},
            {"toolResult":{"toolUseId":"s","content":[{"text":"r"}]}},{"image":{"format":"png"}},
            {"toolUse":{"toolUseId":"a","name":"f","input":{"x":[1, 2]}}},{"toolUse":{"toolUseId":"","name":"g","input":{}}}]}},
            "stopReason":"tool_use","metrics":{"latencyMs":1},"usage":{"inputTokens":5,"outputTokens":9,"cacheWriteInputTokens":2}}"#;
        let (events, usage) = read_whole(&Bytes::copy_from_slice(body.as_bytes()), "seed").unwrap();
        let answer = fold::Answer::from_events(&events);
        let choice = &answer.choices[0];
        assert_eq!(
            (choice.reasoning(), choice.text()),
            ("hm".to_owned(), "Hi there".to_owned())
        );
        let raw = choice
            .parts
            .iter()
            .filter(|part| matches!(part, fold::Part::Raw(_)))
            .count();
        let signed = choice
            .parts
            .iter()
            .filter(|part| matches!(part, fold::Part::Signature(_)))
            .count();
        assert_eq!((raw, signed), (3, 2), "{:?}", choice.parts);
        let calls: Vec<_> = choice
            .parts
            .iter()
            .filter_map(|part| match part {
                fold::Part::ToolCall {
                    index,
                    id,
                    name,
                    arguments,
                    ..
                } => Some((*index, &**id, &**name, arguments.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(
            calls,
            [
                (0, "a", "f", r#"{"x":[1, 2]}"#),
                (1, "call_seed_1", "g", "{}")
            ]
        );
        assert_eq!(choice.finish.as_ref().unwrap().reason, Reason::ToolCalls);
        let usage = usage.unwrap();
        assert_eq!(
            (usage.input, usage.cache_write, usage.output),
            (Some(7), Some(2), Some(9))
        );
    }

    #[test]
    fn an_error_under_a_good_status_is_read() {
        let body = Bytes::from_static(br#"{"__type":"ThrottlingException","message":"busy"}"#);
        let Err(DecodeError::Upstream(fault)) = read_whole(&body, "s") else {
            panic!("an error")
        };
        assert_eq!(fault.code, Code::RateLimited);
    }

    #[test]
    fn a_body_that_is_not_an_answer_is_malformed() {
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"output":1}"#,
            r#"{"output":{"message":{"content":[{"text":1}]}}}"#,
        ] {
            let read = read_whole(&Bytes::copy_from_slice(body.as_bytes()), "s");
            assert!(matches!(read, Err(DecodeError::Malformed { .. })), "{body}");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let body = Bytes::from_static(b"{\"output\":{\"message\":{\"content\":[{\"text\":\"a\xffb\"}]}},\"stopReason\":\"end_turn\"}");
        let (events, usage) = read_whole(&body, "s").unwrap();
        assert_eq!(
            (fold::Answer::from_events(&events).choices[0].text(), usage),
            ("a\u{fffd}b".to_owned(), None)
        );
    }
}
