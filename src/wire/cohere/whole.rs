//! A non-streaming answer: the same blocks, all at once.

use bytes::Bytes;

use super::shape::{self, Answer};
use super::speech::{PLAN, Speech};
use super::{ending, refusal, usage};
use crate::codec::json::says_something;
use crate::codec::text;
use crate::model::event::Events;
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// The events and usage of a whole answer.
pub(super) fn read(body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
    let data = text::of_bytes(body);
    if is_error(&data) {
        return Err(DecodeError::Upstream(Box::new(refusal::told(&data))));
    }
    let answer: Answer<'_> = shape::read(&data, "the answer")?;
    let message = answer
        .message
        .ok_or_else(|| DecodeError::malformed(WireId::Cohere, "the answer has no message"))?;
    let (mut speech, mut out) = (Speech::new(seed), Events::new());
    for (index, block) in (0..).zip(message.content.into_iter().flatten()) {
        speech.begin_content(index, block, &data, &mut out)?;
        speech.end_content(index);
    }
    message
        .tool_plan
        .iter()
        .for_each(|plan| speech.reason(PLAN, plan, &data, &mut out));
    for call in message.tool_calls.into_iter().flatten() {
        speech.begin_call(0, call, &data, &mut out)?;
    }
    speech.end_all(&mut out);
    message
        .citations
        .into_iter()
        .flatten()
        .for_each(|citation| speech.citation(citation, &data, &mut out));
    answer
        .logprobs
        .filter(|value| says_something(value))
        .iter()
        .for_each(|value| speech.named("logprobs", value, &mut out));
    out.push(ending::finish(
        answer.finish_reason.as_ref(),
        None,
        speech.has_calls(),
        &data,
    )?);
    Ok((out, answer.usage.and_then(usage::read)))
}

/// An error has words where an answer has a message.
fn is_error(data: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        message: text::Text<'a>,
    }
    serde_json::from_str::<Body<'_>>(data).is_ok_and(|body| !body.message.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Reason;
    use crate::model::fold::{self, Part};

    fn of(body: &str) -> Result<(fold::Answer, Option<Usage>), DecodeError> {
        read(&Bytes::copy_from_slice(body.as_bytes()), "seed")
            .map(|(events, usage)| (fold::Answer::of(&events), usage))
    }

    #[test]
    fn every_kind_of_content_is_read() {
        let (answer, usage) = of(r#"{"id":"c","finish_reason":"TOOL_CALL","message":{"role":"assistant","tool_plan":"I will look.",
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
    fn an_error_under_a_good_status_is_an_error() {
        for body in [
            r#"{"id":"x","message":"internal"}"#,
            r#"{"finish_reason":"ERROR","message":{"content":[]}}"#,
        ] {
            assert!(matches!(of(body), Err(DecodeError::Upstream(_))), "{body}");
        }
    }

    #[test]
    fn what_is_no_answer_is_malformed() {
        for body in [
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"message":{"content":"text"}}"#,
            r#"{"message":{"content":[7]}}"#,
        ] {
            assert!(
                matches!(of(body), Err(DecodeError::Malformed { .. })),
                "{body}"
            );
        }
    }
}
