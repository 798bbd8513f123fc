//! Parses the few fields of a request that routing, metering and answering need. The rest is parsed
//! only when a target speaks another wire.

use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName};
use serde_json::value::RawValue;

use super::{chat, estimate};
use crate::dialect::object::Object;
use crate::dialect::{head_fields, references, request};
use crate::model::ask::{Ask, AskHead};
use crate::model::fault::Fault;
use crate::model::wire::{DialectId, WireId};

/// The header that is forwarded to an upstream of the same wire.
const BETA: HeaderName = HeaderName::from_static("openai-beta");

/// Parses the body of a Chat Completions request that is answered in `dialect`.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn ask(dialect: DialectId, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    let mut ask = read(dialect, &body)?;
    ask.headers = head_fields::forwarded_headers(headers, &[BETA]);
    ask.body = body;
    Ok(ask)
}

/// Parses everything but `body` and `headers`, which the caller fills in.
fn read(dialect: DialectId, body: &[u8]) -> Result<Ask, Fault> {
    let top = Object::from_body(body)?;
    top.reject_duplicates([chat::FIELDS, references::FIELDS])?;
    let estimate = estimate::input(&top)?;
    let mut references = references::find(&top, "")?;
    references.extend_from_slice(&estimate.references);
    let events = dialect == DialectId::Events;
    let (model, models) = (head_fields::model(&top)?, further_models(&top)?);
    let head = AskHead {
        dialect,
        model,
        conversation: None,
        responses: None,
        // `POST /v1/streams` answers with a stream unless the request says otherwise.
        stream: top.read("stream", "true or false")?.unwrap_or(events),
        choices: chat::choices(&top)?.unwrap_or(1),
        max_output: chat::max_tokens(&top)?,
        // The dialect `events` always has a `usage` event.
        include_usage: include_usage(&top)? || events,
        input_estimate: estimate.tokens(),
        user: chat::user(&top)?.as_deref().and_then(head_fields::user),
    };
    let shape = Some(WireId::OpenaiChat);
    Ok(request::ask(
        head,
        shape,
        models,
        references,
        chat::translate,
    ))
}

fn include_usage(top: &Object<'_>) -> Result<bool, Fault> {
    let Some(options) = top.object("stream_options")? else {
        return Ok(false);
    };
    Ok(options
        .read("include_usage", "true or false")?
        .unwrap_or(false))
}

/// Returns the models that the body names in addition to `model`: some APIs fall back to these on
/// their own.
fn further_models(top: &Object<'_>) -> Result<Vec<ByteString>, Fault> {
    // The caller must be allowed all of them, because the upstream may use any.
    let names: Vec<String> = top
        .read("models", "an array of strings")?
        .unwrap_or_default();
    Ok(names
        .into_iter()
        .map(Into::into)
        .chain(fallbacks(top)?)
        .chain(head_fields::models_in_tools(top)?)
        .collect())
}

/// Returns the models that gateways used as upstreams fall back to: names, or objects with a
/// `model`. OpenAI has no such field, so any other form is left to the upstream to judge.
fn fallbacks(top: &Object<'_>) -> Result<Vec<ByteString>, Fault> {
    let listed = top
        .raw("fallbacks")
        .is_some_and(|value| value.get().starts_with('['));
    let each: Vec<&RawValue> = if listed {
        top.read("fallbacks", "an array")?.unwrap_or_default()
    } else {
        Vec::new()
    };
    let objects: Vec<_> = each
        .iter()
        .filter_map(|it| Object::at("fallbacks", it).ok())
        .collect();
    let strings = each
        .iter()
        .filter_map(|it| serde_json::from_str::<String>(it.get()).ok());
    Ok(strings
        .map(Into::into)
        .chain(head_fields::models_in(&objects)?)
        .collect())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::model::fault::Code;

    const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    fn parsed(dialect: DialectId, body: &str) -> Result<Ask, Fault> {
        ask(
            dialect,
            &HeaderMap::new(),
            Bytes::copy_from_slice(body.as_bytes()),
        )
    }

    /// Returns the status, the field and the message.
    fn rejected(body: &str) -> (u16, Option<String>, String) {
        let fault = parsed(DialectId::OpenaiChat, body).unwrap_err();
        assert_eq!(fault.status, fault.code.status());
        (fault.status.as_u16(), fault.param, fault.message)
    }

    #[test]
    fn needed_fields_are_read_and_the_body_is_unchanged() {
        let body = format!(
            r#"{{"model":"smart",{MESSAGES},"stream":true,"n":3,"max_tokens":5,"max_completion_tokens":9,"stream_options":{{"include_usage":true}},"x":[1.0]}}"#
        );
        let ask = parsed(DialectId::OpenaiChat, &body).unwrap();
        assert_eq!(
            (
                ask.head.dialect,
                ask.shape,
                &*ask.head.model,
                ask.head.stream
            ),
            (
                DialectId::OpenaiChat,
                Some(WireId::OpenaiChat),
                "smart",
                true
            )
        );
        assert_eq!(
            (
                ask.head.choices,
                ask.head.max_output,
                ask.head.include_usage,
                ask.head.input_estimate
            ),
            (3, Some(9), true, 1)
        );
        assert_eq!(ask.body, body.as_bytes());
        assert_eq!(ask.chat().unwrap().max_tokens, Some(9));
    }

    #[test]
    fn all_named_models_are_listed() {
        let twice = r#""tools":[{"type":"image_generation","model":"a","mod\u0065l":"b"}]"#;
        let of = |fields: &str| {
            parsed(
                DialectId::OpenaiChat,
                &format!(r#"{{"model":"m",{MESSAGES},{fields}}}"#),
            )
            .map(|ask| ask.models)
        };
        assert_eq!(
            of(r#""models":["a"],"fallbacks":["b",{"mod\u0065l":"c","messages":[]},{},7]"#)
                .unwrap(),
            ["a", "b", "c"]
        );
        assert_eq!(of(twice).unwrap(), ["a", "b"]);
        assert_eq!(
            of(r#""fallbacks":[{"model":7}]"#)
                .unwrap_err()
                .param
                .as_deref(),
            Some("fallbacks.model")
        );
        assert!(of(r#""fallbacks":"default""#).unwrap().is_empty());
        assert_eq!(
            of(r#""fallbacks":[],"fallbacks":["b"]"#)
                .unwrap_err()
                .param
                .as_deref(),
            Some("fallbacks")
        );
        assert_eq!(
            of(r#""fallbacks":[{"model":"a","model":"b"}]"#).unwrap(),
            ["a", "b"]
        );
    }

    #[test]
    fn null_counts_as_absent() {
        let body = format!(
            r#"{{"model":"m",{MESSAGES},"stream":null,"n":null,"max_tokens":null,"stream_options":null}}"#
        );
        let ask = parsed(DialectId::OpenaiChat, &body).unwrap();
        assert_eq!(
            (
                ask.head.stream,
                ask.head.choices,
                ask.head.max_output,
                ask.head.include_usage
            ),
            (false, 1, None, false)
        );
    }

    #[test]
    fn events_stream_by_default_and_include_usage() {
        let body = |more: &str| format!(r#"{{"model":"m",{MESSAGES}{more}}}"#);
        let ask = parsed(DialectId::Events, &body("")).unwrap();
        assert_eq!(
            (
                ask.head.dialect,
                ask.shape,
                ask.head.stream,
                ask.head.include_usage
            ),
            (DialectId::Events, Some(WireId::OpenaiChat), true, true)
        );
        assert!(
            !parsed(DialectId::Events, &body(r#","stream":false"#))
                .unwrap()
                .head
                .stream
        );
    }

    #[test]
    fn invalid_json_is_reported_by_line_and_column() {
        let (status, param, message) = rejected("{\"model\":\"m\",\n \"messages\":[}");
        assert_eq!((status, param), (400, None));
        assert_eq!(
            message,
            "the request body is not valid JSON: expected value at line 2 column 14"
        );
        assert!(rejected("").2.contains("line 1 column 0"));
        assert!(
            rejected("{} {}")
                .2
                .contains("trailing characters at line 1 column 4")
        );
        assert_eq!(
            rejected("[\"secret\"]").2,
            "the request body must be a JSON object"
        );
    }

    #[test]
    fn every_field_that_is_read_is_checked() {
        for (fields, param, expected) in [
            (MESSAGES, "model", "a string"),
            (
                r#""model":"","messages":[{}]"#,
                "model",
                "a non-empty string",
            ),
            (r#""model":7,"messages":[{}]"#, "model", "a string"),
            (r#""model":"m""#, "messages", "a non-empty array of objects"),
            (
                r#""model":"m","messages":null"#,
                "messages",
                "a non-empty array of objects",
            ),
            (
                r#""model":"m","messages":[]"#,
                "messages",
                "a non-empty array of objects",
            ),
            (
                r#""model":"m","messages":"hi""#,
                "messages",
                "a non-empty array of objects",
            ),
            (
                r#""model":"m","messages":[{},"hi"]"#,
                "messages[1]",
                "an object",
            ),
            (
                r#""model":"m","messages":[{}],"stream":"yes""#,
                "stream",
                "true or false",
            ),
            (
                r#""model":"m","messages":[{}],"n":0"#,
                "n",
                "an integer from 1 to 128",
            ),
            (
                r#""model":"m","messages":[{}],"n":129"#,
                "n",
                "an integer from 1 to 128",
            ),
            (
                r#""model":"m","messages":[{}],"n":70000"#,
                "n",
                "an integer from 1 to 128",
            ),
            (
                r#""model":"m","messages":[{}],"n":1.5"#,
                "n",
                "an integer from 1 to 128",
            ),
            (
                r#""model":"m","messages":[{}],"max_tokens":0"#,
                "max_tokens",
                "a positive integer",
            ),
            (
                r#""model":"m","messages":[{}],"max_tokens":-1"#,
                "max_tokens",
                "a positive integer",
            ),
            (
                r#""model":"m","messages":[{}],"max_completion_tokens":"9""#,
                "max_completion_tokens",
                "a positive integer",
            ),
            (
                r#""model":"m","messages":[{}],"stream_options":true"#,
                "stream_options",
                "an object",
            ),
            (
                r#""model":"m","messages":[{}],"stream_options":{"include_usage":1}"#,
                "stream_options.include_usage",
                "true or false",
            ),
        ] {
            let fault = (
                400,
                Some(param.to_owned()),
                format!("`{param}` must be {expected}"),
            );
            assert_eq!(rejected(&format!("{{{fields}}}")), fault, "{fields}");
        }
        let long = "m".repeat(head_fields::MAX_MODEL + 1);
        assert_eq!(
            rejected(&format!(r#"{{"model":"{long}",{MESSAGES}}}"#)).2,
            "`model` must be at most 256 bytes long"
        );
    }

    #[test]
    fn repeated_fields_are_rejected_in_any_escaping() {
        let (status, param, message) =
            rejected(&format!(r#"{{"model":"a","mod\u0065l":"b",{MESSAGES}}}"#));
        assert_eq!((status, param.as_deref()), (400, Some("model")));
        assert_eq!(message, "`model` comes more than once; send it once");
        let (status, param, _) = rejected(&format!(
            r#"{{"model":"a",{MESSAGES},"container":null,"container":"c"}}"#
        ));
        assert_eq!((status, param.as_deref()), (400, Some("container")));
        assert!(
            parsed(
                DialectId::OpenaiChat,
                &format!(r#"{{"model":"a",{MESSAGES},"x":1,"x":2}}"#)
            )
            .is_ok()
        );
    }

    #[test]
    fn objects_in_the_providers_account_are_found() {
        let part = |part: &str| {
            format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"a"}},{part}]}}]}}"#
            )
        };
        for (body, param) in [
            (
                format!(r#"{{"model":"m",{MESSAGES},"previous_response_id":"r"}}"#),
                "previous_response_id",
            ),
            (
                format!(r#"{{"model":"m",{MESSAGES},"container":{{}}}}"#),
                "container",
            ),
            (
                format!(
                    r#"{{"model":"m",{MESSAGES},"tools":[{{"type":"x","vector_store_ids":["v"]}}]}}"#
                ),
                "tools[0].vector_store_ids",
            ),
            (
                part(r#"{"type":"file","file":{"file_id":"file-1"}}"#),
                "messages[0].content[1].file.file_id",
            ),
            (
                part(r#"{"type":"file","file":{"f\u0069le_id":"file-1","file_id":null}}"#),
                "messages[0].content[1].file.file_id",
            ),
            (
                part(r#"{"type":"input_image","file_id":"file-1"}"#),
                "messages[0].content[1].file_id",
            ),
        ] {
            let ask = parsed(DialectId::OpenaiChat, &body).unwrap();
            let fault = ask.chat().unwrap_err();
            assert_eq!(Some(&*ask.references[0].path), fault.param.as_deref());
            assert_eq!(
                (fault.status, fault.code),
                (StatusCode::FORBIDDEN, Code::FieldNotAllowed)
            );
            assert_eq!(fault.param.as_deref(), Some(param));
            assert_eq!(
                ask.chat().unwrap_err().param.as_deref(),
                Some(param),
                "other wires cannot refer to the object"
            );
        }
        let own = parsed(
            DialectId::OpenaiChat,
            &part(r#"{"type":"file","file":{"file_id":null,"file_data":"x"}}"#),
        )
        .unwrap();
        assert!(own.references.is_empty());
    }

    #[test]
    fn no_message_repeats_a_value() {
        for body in [
            r#"{"model":"m","messages":"SECRET"}"#,
            r#""SECRET""#,
            r#"{"model":["SECRET"],"messages":[{}]}"#,
        ] {
            assert!(!rejected(body).2.contains("SECRET"));
        }
        let ask = parsed(
            DialectId::OpenaiChat,
            r#"{"model":"m","messages":[{"role":"SECRET","content":{"SECRET":1}}]}"#,
        )
        .unwrap();
        assert!(!ask.chat().unwrap_err().message.contains("SECRET"));
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(body in r#"[\[\]{}",:a\\u0-9 ]{0,40}"#) {
            let wrapped = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{body}}}]}}"#);
            for body in [&body, &wrapped] {
                if let Ok(ask) = parsed(DialectId::OpenaiChat, body) {
                    let _ = ask.chat();
                }
            }
        }
    }
}
