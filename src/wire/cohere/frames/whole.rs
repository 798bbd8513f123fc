//! Decodes a non-streaming answer, which contains the same blocks as a stream.

use bytes::Bytes;

use super::super::refusal;
use super::super::shape::{Answer, TOOL_PLAN};
use super::content::ContentReader;
use super::ending::finish;
use super::usage::read_usage;
use crate::codec::lenient::Text;
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
    let data = text::from_bytes(body);
    if is_error(&data) {
        return Err(DecodeError::Upstream(Box::new(refusal::read_payload(
            &data,
        ))));
    }
    let answer: Answer<'_> = sink::read(WireId::Cohere, &data, "the answer")?;
    let message = answer
        .message
        .ok_or_else(|| DecodeError::malformed(WireId::Cohere, "the answer has no message"))?;
    let (mut content, mut out) = (ContentReader::new(seed), Events::new());
    let sink = &mut Sink::new(WireId::Cohere, &data, &mut out);
    for (index, block) in (0..).zip(message.content.0) {
        content.start_block(index, block, sink)?;
        content.end_block(index);
    }
    // The plan comes before the calls, as in a stream.
    content.reasoning(TOOL_PLAN, message.tool_plan.as_ref(), sink);
    for call in message.tool_calls.0 {
        // Starting a call at the same index ends the one before.
        content.start_call(0, call, sink)?;
    }
    content.end_all(sink);
    for citation in message.citations.0 {
        content.citation(citation, sink);
    }
    content.logprobs(answer.logprobs, sink);
    let has_calls = content.has_calls();
    sink.push(finish(
        answer.finish_reason.as_ref(),
        None,
        has_calls,
        &data,
    )?);
    Ok((out, answer.usage.and_then(read_usage)))
}

/// True for an error, in which `message` is a text; in an answer it is an object.
fn is_error(data: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        message: Text<'a>,
    }
    serde_json::from_str::<Body<'_>>(data).is_ok_and(|body| !body.message.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Reason;
    use crate::model::fold::{self, Part};

    fn answer(body: &str) -> Result<(fold::Answer, Option<Usage>), DecodeError> {
        read_whole(&Bytes::copy_from_slice(body.as_bytes()), "seed")
            .map(|(events, usage)| (fold::Answer::from_events(&events), usage))
    }

    #[test]
    fn every_kind_of_content_is_read() {
        let (answer, usage) = answer(r#"{"id":"c","finish_reason":"TOOL_CALL","message":{"role":"assistant","tool_plan":"I will look.",
            "content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"Hé"},{"type":"new","x":1}],
            "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\": 2}"}},{"type":"function","function":{"name":"g"}}],
            "citations":[{"start":0,"end":1,"text":"H","sources":[{"type":"tool","id":"t"}],"content_index":1}]},
            "usage":{"tokens":{"input_tokens":5,"output_tokens":9}},"logprobs":[{"token_ids":[1]}]}"#)
        .unwrap();
        let choice = &answer.choices[0];
        assert_eq!(
            (&*choice.reasoning(), &*choice.text()),
            ("hmI will look.", "Hé")
        );
        let marks: Vec<_> = choice
            .parts
            .iter()
            .filter_map(|part| {
                if let Part::Signature(it) = part {
                    it.signature.as_deref()
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(marks, ["thinking", "tool_plan"]);
        let calls: Vec<_> = choice
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::ToolCall {
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
            [(0, "a", "f", r#"{"x": 2}"#), (1, "call_seed_1", "g", "")]
        );
        let raw: Vec<_> = choice
            .parts
            .iter()
            .filter_map(|part| {
                if let Part::Raw(it) = part {
                    Some(&*it.data)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(
            raw,
            [
                r#"{"type":"new","x":1}"#,
                r#"{"logprobs":[{"token_ids":[1]}]}"#
            ]
        );
        assert!(
            choice
                .parts
                .iter()
                .any(|part| matches!(part, Part::Citation(it) if it.span == Some((0, 1))))
        );
        assert_eq!(choice.finish.as_ref().unwrap().reason, Reason::ToolCalls);
        assert_eq!(usage.unwrap().total(), Some(14));
    }

    #[test]
    fn an_error_under_a_good_status_is_read() {
        for body in [
            r#"{"id":"x","message":"internal"}"#,
            r#"{"finish_reason":"ERROR","message":{"content":[]}}"#,
        ] {
            assert!(
                matches!(answer(body), Err(DecodeError::Upstream(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn a_body_that_is_not_an_answer_is_malformed() {
        for body in [
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"message":{"content":"text"}}"#,
            r#"{"message":{"content":[7]}}"#,
        ] {
            assert!(
                matches!(answer(body), Err(DecodeError::Malformed { .. })),
                "{body}"
            );
        }
    }
}
