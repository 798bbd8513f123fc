//! Decodes a non-streaming answer: the same response object as in a terminal event.

use bytes::Bytes;

use super::super::refusal;
use super::super::shape::{Response, invalid_json, malformed};
use super::items::Items;
use super::sink::EventSink;
use super::usage::read_usage;
use super::{complete, upstream};
use crate::codec::text;
use crate::model::event::Events;
use crate::model::usage::Usage;
use crate::wire::DecodeError;

/// Returns the events and usage of a non-streaming answer.
///
/// # Errors
/// When the body is an error of the upstream, is not a response, or is not complete.
pub(in super::super) fn read_whole(
    body: &Bytes,
    seed: &str,
) -> Result<(Events, Option<Usage>), DecodeError> {
    let data = text::from_bytes(body);
    let response: Response<'_> =
        serde_json::from_str(&data).map_err(|error| invalid_json(&error))?;
    let status = response.status.text();
    let status = status.as_deref().unwrap_or("completed");
    // Some servers report failures with status 200.
    if response.error.is_non_empty() || status == "failed" {
        return Err(upstream(refusal::read_payload(&data)));
    }
    // Without a list of items it may be an error in another shape.
    if !response.output.raw().starts_with('[') {
        let error = refusal::find_payload(&data).map(upstream);
        return Err(error.unwrap_or_else(|| malformed("the answer has no output")));
    }
    // Background responses are returned before they are complete.
    if matches!(status, "queued" | "in_progress") {
        return Err(malformed("the answer is not complete"));
    }
    let mut events = Events::new();
    complete(
        &mut Items::new(seed),
        status,
        &response,
        &mut EventSink {
            data: &data,
            out: &mut events,
        },
    )?;
    Ok((events, read_usage(response.usage)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Reason;
    use crate::model::fault::Code;
    use crate::model::fold::{Answer, Part};

    fn of(body: &str) -> Result<(Answer, Option<Usage>), DecodeError> {
        read_whole(&Bytes::copy_from_slice(body.as_bytes()), "seed")
            .map(|(events, usage)| (Answer::from_events(&events), usage))
    }

    #[test]
    fn every_kind_of_item_is_read() {
        let (answer, usage) = of(r#"
            {"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"output":[
            {"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"E"},
            {"type":"web_search_call","id":"ws","status":"completed"},
            {"type":"message","content":[{"type":"output_text","text":"Hi","annotations":[{"type":"url_citation","url":"https://a.b","start_index":0,"end_index":2}]},
              {"type":"refusal","refusal":"no"}]},
            {"type":"function_call","call_id":"a","name":"f","arguments":"{\"x\":[1, 2]}"},
            {"type":"custom_tool_call","call_id":"b","name":"g","input":"go"}],
            "usage":{"input_tokens":5,"output_tokens":9}}"#)
        .unwrap();
        let choice = &answer.choices[0];
        assert_eq!(
            (&*choice.reasoning(), &*choice.text(), &*choice.refusal()),
            ("hm", "Hi", "no")
        );
        assert_eq!(choice.parts.len(), 8, "{:?}", choice.parts);
        assert!(
            matches!(&choice.parts[1], Part::Signature(it) if it.redacted.as_deref() == Some("E"))
        );
        assert!(matches!(&choice.parts[2], Part::Raw(it) if it.data.contains("web_search_call")));
        assert!(
            choice
                .parts
                .iter()
                .any(|part| matches!(part, Part::Citation(it) if it.span == Some((0, 2))))
        );
        let calls: Vec<_> = choice
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::ToolCall {
                    index,
                    name,
                    arguments,
                    custom,
                    ..
                } => Some((*index, &**name, arguments.as_str(), *custom)),
                _ => None,
            })
            .collect();
        assert_eq!(
            calls,
            [(0, "f", r#"{"x":[1, 2]}"#, false), (1, "g", "go", true)]
        );
        assert_eq!(choice.finish.as_ref().unwrap().reason, Reason::ToolCalls);
        assert_eq!(
            (usage.unwrap().input, usage.unwrap().output),
            (Some(5), Some(9))
        );
    }

    #[test]
    fn an_incomplete_answer_has_its_reason() {
        let (answer, usage) =
            of(r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[],"usage":null}"#).unwrap();
        assert_eq!(
            (answer.choices[0].finish.as_ref().unwrap().reason, usage),
            (Reason::Length, None)
        );
    }

    #[test]
    fn errors_with_a_success_status_are_recognized() {
        for (body, code) in [
            (
                r#"{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow down"},"output":[]}"#,
                Code::RateLimited,
            ),
            (r#"{"status":"failed","output":[]}"#, Code::UpstreamError),
            (
                r#"{"error":{"message":"bad upstream","code":503}}"#,
                Code::Overloaded,
            ),
            (r#"{"detail":"gone"}"#, Code::UpstreamError),
        ] {
            let Err(DecodeError::Upstream(fault)) = of(body) else {
                panic!("an error is expected: {body}")
            };
            assert_eq!(fault.code, code, "{body}");
        }
    }

    #[test]
    fn bodies_that_are_no_response_are_malformed() {
        for body in [
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"output":"text"}"#,
            r#"{"status":"queued","output":[]}"#,
            r#"{"output":["#,
        ] {
            assert!(
                matches!(of(body), Err(DecodeError::Malformed { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let body =
            Bytes::from_static(b"{\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\xffb\"}]}]}");
        let (events, _) = read_whole(&body, "s").unwrap();
        assert_eq!(Answer::from_events(&events).choices[0].text(), "a\u{fffd}b");
    }
}
