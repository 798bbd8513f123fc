//! Decodes a non-streaming answer (`POST /model/{model}/converse`), which contains the same blocks
//! as a stream.

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::blocks::{self, Blocks};
use super::decode::Ending;
use super::refusal;
use super::shape::{self, Reasoning, SourceText, Text, ToolUse, UsageCounts};
use crate::codec::lenient::{List, RawList};
use crate::codec::text;
use crate::model::event::Events;
use crate::model::usage::Usage;
use crate::wire::DecodeError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    output: Option<Output<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    usage: Option<UsageCounts>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: RawList<'a>,
}

/// A content block: one of these fields, or a kind without a normalized form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<WholeReasoning<'a>>,
    #[serde(borrow)]
    citations_content: Option<CitedText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WholeReasoning<'a> {
    #[serde(borrow)]
    reasoning_text: Option<Reasoning<'a>>,
    #[serde(borrow)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct CitedText<'a> {
    #[serde(borrow, default)]
    content: List<SourceText<'a>>,
    #[serde(borrow, default)]
    citations: RawList<'a>,
}

/// Decodes a whole answer into its events and usage.
pub(super) fn read(body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
    let body = text::from_bytes(body);
    let answer: Answer<'_> = shape::read(&body, "the answer")?;
    // A body without output is an exception under a good status.
    let Some(output) = answer.output else {
        return Err(DecodeError::Upstream(Box::new(refusal::read_payload(
            "", &body,
        ))));
    };
    let (mut events, mut blocks) = (Events::new(), Blocks::new(seed));
    for json in output.message.content.0 {
        read_block(json, &mut blocks, &body, &mut events)?;
    }
    events.push(Ending::from_native(answer.stop_reason.as_ref(), &body).finish(blocks.has_calls()));
    Ok((events, answer.usage.map(|counts| counts.usage())))
}

fn read_block(
    json: &RawValue,
    blocks: &mut Blocks,
    body: &ByteString,
    out: &mut Events,
) -> Result<(), DecodeError> {
    let block: Block<'_> = shape::read(json.get(), "a content block")?;
    match block {
        Block {
            text: Some(text), ..
        } => out.extend(blocks::text_event(&text, body)),
        Block {
            tool_use: Some(tool),
            ..
        // Calls that a server has run fall through and are carried raw.
        } if tool.is_client_call() => blocks.whole_call(&tool, body, out)?,
        Block {
            reasoning_content:
                Some(WholeReasoning {
                    reasoning_text,
                    redacted_content,
                }),
            ..
        } => {
            let none = Reasoning {
                text: None,
                signature: None,
                redacted_content: None,
            };
            blocks::push_reasoning(
                &Reasoning {
                    redacted_content,
                    ..reasoning_text.unwrap_or(none)
                },
                body,
                out,
            );
        }
        Block {
            citations_content: Some(cited),
            ..
        } => {
            // The cited text is part of the answer; its citations follow it.
            let texts = cited
                .content
                .0
                .iter()
                .filter_map(|quote| quote.text.as_ref());
            out.extend(texts.filter_map(|text| blocks::text_event(text, body)));
            out.extend(
                cited
                    .citations
                    .0
                    .iter()
                    .map(|json| blocks::citation_event(json, body)),
            );
        }
        _ => out.push(blocks::raw_event(json, body)),
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
        let (events, usage) = read(&Bytes::copy_from_slice(body.as_bytes()), "seed").unwrap();
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
        let Err(DecodeError::Upstream(fault)) = read(&body, "s") else {
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
            let read = read(&Bytes::copy_from_slice(body.as_bytes()), "s");
            assert!(matches!(read, Err(DecodeError::Malformed { .. })), "{body}");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let body = Bytes::from_static(b"{\"output\":{\"message\":{\"content\":[{\"text\":\"a\xffb\"}]}},\"stopReason\":\"end_turn\"}");
        let (events, usage) = read(&body, "s").unwrap();
        assert_eq!(
            (fold::Answer::from_events(&events).choices[0].text(), usage),
            ("a\u{fffd}b".to_owned(), None)
        );
    }
}
