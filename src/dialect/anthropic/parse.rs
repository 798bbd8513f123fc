//! Parses the few fields of a request that routing, metering and answering need. The rest is parsed
//! only when a target speaks another wire.

use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName};

use super::{chat, estimate};
use crate::dialect::object::Object;
use crate::dialect::{head_fields, references, request};
use crate::model::ask::{Ask, AskHead};
use crate::model::fault::Fault;
use crate::model::wire::{DialectId, WireId};

/// Headers that are forwarded to an upstream of the same wire.
const HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
];

/// Parses the body of `POST /v1/messages`.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn generation(headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    let ask = read(headers, body)?;
    match ask.head.max_output {
        Some(_) => Ok(ask),
        None => Err(Fault::invalid(
            "max_tokens",
            "`max_tokens` must be a non-negative integer",
        )),
    }
}

/// Parses the body of `POST /v1/messages/count_tokens`, in which `max_tokens` is optional.
///
/// # Errors
/// The same as for a generation.
pub(super) fn count(headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    read(headers, body)
}

fn read(headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    let mut ask = fields(&body)?;
    ask.headers = head_fields::forwarded_headers(headers, &HEADERS);
    ask.body = body;
    Ok(ask)
}

/// Parses everything but `body` and `headers`, which the caller fills in.
fn fields(body: &[u8]) -> Result<Ask, Fault> {
    let top = Object::from_body(body)?;
    top.reject_duplicates([chat::FIELDS, references::FIELDS])?;
    reject_threads(&top)?;
    let estimate = estimate::input(&top)?;
    let mut references = references::find(&top, "")?;
    references.extend_from_slice(&estimate.references);
    let (model, models) = (head_fields::model(&top)?, further_models(&top)?);
    let head = AskHead {
        dialect: DialectId::Anthropic,
        model,
        conversation: None,
        responses: None,
        stream: top.read("stream", "true or false")?.unwrap_or(false),
        // The API has neither a number of choices nor an option for usage.
        choices: 1,
        max_output: top.read("max_tokens", "a non-negative integer")?,
        include_usage: true,
        input_estimate: estimate.tokens(),
        user: chat::user(&top)?.as_deref().and_then(head_fields::user),
    };
    let shape = Some(WireId::Anthropic);
    Ok(request::ask(
        head,
        shape,
        models,
        references,
        chat::translate,
    ))
}

/// Rejects requests that use a thread. The turns of a thread are stored in the provider's account,
/// and may belong to another caller. The vendor's clients start threads on their own; on this error
/// code they send the whole conversation instead.
fn reject_threads(top: &Object<'_>) -> Result<(), Fault> {
    if top.raw("thread").is_none_or(|value| value.get() == "false") {
        return Ok(());
    }
    let message = "`thread` stores the conversation in the provider's account; send the whole conversation and omit `thread`";
    Err(Fault {
        native_code: Some("thread_unsupported_request".to_owned()),
        ..Fault::invalid("thread", message)
    })
}

/// Returns the models that the body names in addition to `model`: those that the API falls back to,
/// and those that its tools call.
fn further_models(top: &Object<'_>) -> Result<Vec<ByteString>, Fault> {
    // Other forms of `fallbacks` name no models; the upstream judges them.
    let listed = top
        .raw("fallbacks")
        .is_some_and(|value| value.get().starts_with('['));
    let fallbacks = if listed {
        top.objects("fallbacks")?
    } else {
        Vec::new()
    };
    Ok([
        head_fields::models_in(&fallbacks)?,
        head_fields::models_in_tools(top)?,
    ]
    .concat())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::model::fault::Code;

    const REST: &str = r#""max_tokens":5,"messages":[{"role":"user","content":"hi"}]"#;

    fn parsed(body: &str) -> Result<Ask, Fault> {
        generation(&HeaderMap::new(), Bytes::copy_from_slice(body.as_bytes()))
    }

    fn rejected(body: &str) -> (u16, Option<String>, String) {
        let fault = parsed(body).unwrap_err();
        (fault.status.as_u16(), fault.param, fault.message)
    }

    #[test]
    fn needed_fields_are_read_and_the_body_is_unchanged() {
        let body = format!(r#"{{"model":"smart",{REST},"stream":true,"x":[1.0]}}"#);
        let ask = parsed(&body).unwrap();
        assert_eq!(
            (
                ask.head.dialect,
                ask.shape,
                &*ask.head.model,
                ask.head.stream
            ),
            (DialectId::Anthropic, Some(WireId::Anthropic), "smart", true)
        );
        assert_eq!(
            (
                ask.head.choices,
                ask.head.max_output,
                ask.head.include_usage,
                ask.head.input_estimate
            ),
            (1, Some(5), true, 1)
        );
        assert_eq!(ask.body, body.as_bytes());
        assert_eq!(ask.chat().unwrap().max_tokens, Some(5));
    }

    #[test]
    fn max_tokens_is_required_except_for_counting() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        assert_eq!(
            rejected(body),
            (
                400,
                Some("max_tokens".into()),
                "`max_tokens` must be a non-negative integer".into()
            )
        );
        assert_eq!(
            count(&HeaderMap::new(), Bytes::from_static(body.as_bytes()))
                .unwrap()
                .head
                .max_output,
            None
        );
    }

    #[test]
    fn every_field_that_is_read_is_checked() {
        for (fields, param) in [
            (REST, "model"),
            (r#""model":"","max_tokens":1,"messages":[{}]"#, "model"),
            (r#""model":"m","max_tokens":1"#, "messages"),
            (r#""model":"m","max_tokens":1,"messages":[]"#, "messages"),
            (
                r#""model":"m","max_tokens":1,"messages":[{},7]"#,
                "messages[1]",
            ),
            (
                r#""model":"m","max_tokens":-1,"messages":[{}]"#,
                "max_tokens",
            ),
            (
                r#""model":"m","max_tokens":"5","messages":[{}]"#,
                "max_tokens",
            ),
            (
                r#""model":"m","max_tokens":1,"messages":[{}],"stream":"yes""#,
                "stream",
            ),
            (
                r#""model":"m","max_tokens":1,"messages":[{}],"tools":{}"#,
                "tools",
            ),
            (
                r#""model":"m","max_tokens":1,"messages":[{}],"fallbacks":[7]"#,
                "fallbacks[0]",
            ),
            (
                r#""model":"m","mod\u0065l":"n","max_tokens":1,"messages":[{}]"#,
                "model",
            ),
        ] {
            let (status, field, message) = rejected(&format!("{{{fields}}}"));
            assert_eq!(
                (status, field.as_deref()),
                (400, Some(param)),
                "{fields}: {message}"
            );
        }
    }

    #[test]
    fn objects_in_the_providers_account_are_found() {
        for (field, param) in [
            (r#""container":"c""#, "container"),
            (
                r#""tools":[{"type":"x","container":"c"}]"#,
                "tools[0].container",
            ),
        ] {
            let ask = parsed(&format!(r#"{{"model":"m",{REST},{field}}}"#)).unwrap();
            let fault = ask.chat().unwrap_err();
            assert_eq!(Some(&*ask.references[0].path), fault.param.as_deref());
            assert_eq!(
                (fault.status, fault.code, fault.param.as_deref()),
                (StatusCode::FORBIDDEN, Code::FieldNotAllowed, Some(param))
            );
        }
        for field in [
            r#""container":null"#,
            r#""tools":[{"name":"f","input_schema":{"container":"c","file_id":"f"}}]"#,
        ] {
            assert!(
                parsed(&format!(r#"{{"model":"m",{REST},{field}}}"#))
                    .unwrap()
                    .references
                    .is_empty(),
                "{field}"
            );
        }
    }

    #[test]
    fn threads_are_rejected_with_the_code_that_clients_know() {
        for thread in [
            r#"{"type":"create"}"#,
            r#"{"type":"continue","previous_message_id":"msg_1"}"#,
        ] {
            let fault =
                parsed(&format!(r#"{{"model":"m",{REST},"thread":{thread}}}"#)).unwrap_err();
            assert_eq!(
                (
                    fault.status.as_u16(),
                    fault.client_code(),
                    fault.param.as_deref()
                ),
                (400, "thread_unsupported_request", Some("thread"))
            );
        }
        for thread in ["null", "false"] {
            assert!(
                parsed(&format!(r#"{{"model":"m",{REST},"thread":{thread}}}"#)).is_ok(),
                "{thread}"
            );
        }
    }

    #[test]
    fn all_named_models_are_listed() {
        let fields = r#""fallbacks":[{"model":"a"},{}],"tools":[{"type":"advisor_20260301","model":"b"},{"name":"f"}]"#;
        assert_eq!(
            parsed(&format!(r#"{{"model":"m",{REST},{fields}}}"#))
                .unwrap()
                .models,
            ["a", "b"]
        );
        assert!(
            parsed(&format!(r#"{{"model":"m",{REST},"fallbacks":"default"}}"#))
                .unwrap()
                .models
                .is_empty()
        );
    }

    #[test]
    fn only_headers_of_the_api_are_forwarded() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "a"),
            ("openai-beta", "b"),
            ("x-api-key", "k"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.append("anthropic-beta", HeaderValue::from_static("c"));
        let ask = generation(&headers, Bytes::from(format!(r#"{{"model":"m",{REST}}}"#))).unwrap();
        let passed: Vec<_> = ask
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            passed,
            [
                ("anthropic-version", "2023-06-01"),
                ("anthropic-beta", "a"),
                ("anthropic-beta", "c")
            ]
        );
    }

    #[test]
    fn no_message_repeats_a_value() {
        for body in [
            r#"{"model":"m","max_tokens":1,"messages":"SECRET"}"#,
            r#"{"model":["SECRET"],"max_tokens":1,"messages":[{}]}"#,
            r#"{"model":"m","max_tokens":"SECRET","messages":[{}]}"#,
        ] {
            assert!(!rejected(body).2.contains("SECRET"));
        }
        let ask = parsed(
            r#"{"model":"m","max_tokens":1,"messages":[{"role":"SECRET","content":{"SECRET":1}}]}"#,
        )
        .unwrap();
        assert!(!ask.chat().unwrap_err().message.contains("SECRET"));
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(body in r#"[\[\]{}",:a\\u0-9 ]{0,40}"#) {
            let wrapped = format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"assistant","content":{body}}}]}}"#);
            for body in [&body, &wrapped] {
                if let Ok(ask) = parsed(body) {
                    let _ = ask.chat();
                }
            }
        }
    }
}
