//! Parses a request: the few fields that routing, metering and answering need, the settings that a
//! response repeats, and the input that is stored for later turns. The rest is read only if a
//! target uses another wire.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use http::{HeaderMap, HeaderName};

use super::{chat, estimate, stored};
use crate::codec::members::Members;
use crate::dialect::object::Object;
use crate::dialect::{head_fields, references, request};
use crate::model::ask::{Ask, AskHead, ResponsesRequest};
use crate::model::fault::Fault;
use crate::model::wire::{DialectId, WireId};

/// Request header forwarded to upstreams of the same wire.
const BETA: HeaderName = HeaderName::from_static("openai-beta");
/// Field that is resolved here, because it names a response of ours.
const PREVIOUS_ID: &str = "previous_response_id";
/// Maximum length of a response id, bytes.
const MAX_ID: usize = 256;

/// Settings that a response repeats, with their defaults. A setting with an empty default is
/// omitted if the request does not set it.
const ECHO: [(&str, &str); 20] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", ""),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    (PREVIOUS_ID, "null"),
    ("prompt_cache_key", ""),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", ""),
    ("service_tier", ""),
    ("store", "true"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", ""),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", ""),
];

/// Parses the body of `POST /v1/responses`.
///
/// # Errors
/// A 400 that names the field and the expected value.
pub(super) fn ask(headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    let mut ask = read(&body)?;
    ask.headers = head_fields::forwarded_headers(headers, &[BETA]);
    let background = ask
        .head
        .responses
        .as_ref()
        .is_some_and(|request| request.background);
    // Background responses run in this process: the upstream must stream, not be polled.
    ask.body = if background {
        Object::from_body(&body)?.fields.without("background")
    } else {
        body
    };
    Ok(ask)
}

/// Parses everything except `body` and `headers` of the result.
///
/// # Errors
/// A 400 that names the field and the expected value.
pub(super) fn read(body: &[u8]) -> Result<Ask, Fault> {
    let top = Object::from_body(body)?;
    top.reject_duplicates([chat::FIELDS, references::FIELDS])?;
    let mut references = references::find(&top, PREVIOUS_ID)?;
    let request = responses_request(&top)?;
    let estimate = estimate::input(&top, request.previous.is_some())?;
    references.extend(estimate.references);
    let (model, models) = (
        head_fields::model(&top)?,
        head_fields::models_in_tools(&top)?,
    );
    let head = AskHead {
        dialect: DialectId::OpenaiResponses,
        model,
        conversation: None,
        responses: Some(request),
        stream: top.read("stream", "true or false")?.unwrap_or(false),
        // The API has no `n`.
        choices: 1,
        max_output: chat::max_tokens(&top)?,
        // The terminal event always contains the usage.
        include_usage: true,
        input_estimate: estimate.tokens,
        user: chat::user(&top)?.as_deref().and_then(head_fields::user),
    };
    // No provider accepts a wrapped signature, so such a body is never passed on unchanged: its
    // translation unwraps the signature for the wire that made it.
    let shape = (!estimate.has_wrapped).then_some(WireId::OpenaiResponses);
    Ok(request::ask(
        head,
        shape,
        models,
        references,
        chat::translate,
    ))
}

fn responses_request(top: &Object<'_>) -> Result<ResponsesRequest, Fault> {
    let store = top.read("store", "true or false")?.unwrap_or(true);
    let previous = top.string(PREVIOUS_ID)?.filter(|id| !id.is_empty());
    if previous.as_ref().is_some_and(|id| id.len() > MAX_ID) {
        return Err(top.invalid(PREVIOUS_ID, "the id of a response"));
    }
    Ok(ResponsesRequest {
        background: top.read("background", "true or false")?.unwrap_or(false),
        store,
        previous: previous.map(ByteString::from),
        echo: echo(top),
        // With `store: false` nothing of the input is kept.
        input: if store {
            stored::stored_input(top)?
        } else {
            ByteString::new()
        },
    })
}

fn echo(top: &Object<'_>) -> ByteString {
    let mut buf = BytesMut::with_capacity(512);
    let mut members = Members::resume(&mut buf);
    for (name, default) in ECHO {
        let value = top.raw(name).map_or(default, |value| value.get());
        if !value.is_empty() {
            members.json(name, value);
        }
    }
    ByteString::try_from(buf.freeze()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::fault::Code;

    fn parsed(body: &str) -> Result<Ask, Fault> {
        ask(&HeaderMap::new(), Bytes::copy_from_slice(body.as_bytes()))
    }

    fn refused(fields: &str) -> (u16, Option<String>) {
        let fault = parsed(&format!("{{{fields}}}")).unwrap_err();
        (fault.status.as_u16(), fault.param)
    }

    #[test]
    fn the_needed_fields_are_read_and_the_body_is_unchanged() {
        let body = r#"{"model":"smart","input":"12345678","stream":true,"max_output_tokens":50,"x":[1.0]}"#;
        let ask = parsed(body).unwrap();
        assert_eq!(
            (
                ask.head.dialect,
                ask.shape,
                &*ask.head.model,
                ask.head.stream
            ),
            (
                DialectId::OpenaiResponses,
                Some(WireId::OpenaiResponses),
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
            (1, Some(50), true, 2)
        );
        assert_eq!(ask.body, body.as_bytes());
        let request = ask.head.responses.as_ref().unwrap();
        assert!(request.store && !request.background && request.previous.is_none());
        assert_eq!(
            &*request.input,
            r#"[{"type":"message","role":"user","content":"12345678"}]"#
        );
        assert!(
            request.echo.contains(r#","max_output_tokens":50,"#)
                && request.echo.contains(r#","tool_choice":"auto","#),
            "{}",
            request.echo
        );
    }

    #[test]
    fn background_is_not_sent_to_the_provider() {
        let ask = parsed(r#"{"model":"m","background":true,"input":[{"role":"user","content":"a"}],"store":false}"#).unwrap();
        assert_eq!(
            &ask.body[..],
            br#"{"model":"m","input":[{"role":"user","content":"a"}],"store":false}"#
        );
        let request = ask.head.responses.as_ref().unwrap();
        assert!(request.background && !request.store && request.input.is_empty());
        assert!(request.echo.starts_with(r#","background":true"#));
    }

    #[test]
    fn every_field_that_is_read_is_validated() {
        for (fields, param) in [
            (r#""input":"a""#, "model"),
            (r#""model":"m""#, "input"),
            (r#""model":"m","input":[]"#, "input"),
            (r#""model":"m","input":7"#, "input"),
            (r#""model":"m","input":[7]"#, "input[0]"),
            (r#""model":"m","input":"a","stream":1"#, "stream"),
            (r#""model":"m","input":"a","store":1"#, "store"),
            (r#""model":"m","input":"a","background":"x""#, "background"),
            (
                r#""model":"m","input":"a","max_output_tokens":0"#,
                "max_output_tokens",
            ),
            (
                r#""model":"m","input":"a","previous_response_id":7"#,
                "previous_response_id",
            ),
            (r#""model":"m","mod\u0065l":"n","input":"a""#, "model"),
        ] {
            assert_eq!(refused(fields), (400, Some(param.to_owned())), "{fields}");
        }
        assert!(parsed(r#"{"model":"m","previous_response_id":"resp_1"}"#).is_ok());
    }

    #[test]
    fn references_to_provider_objects_are_found() {
        for (fields, param) in [
            (r#""input":"a","conversation":"c""#, "conversation"),
            (r#""input":"a","prompt":{"id":"p"}"#, "prompt"),
            (
                r#""input":[{"type":"item_reference","id":"i"}]"#,
                "input[0]",
            ),
            (
                r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
                "input[0].content[0].file_id",
            ),
            (
                r#""input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","file_id":"f"}]}]"#,
                "input[0].output[0].file_id",
            ),
            (
                r#""input":"a","tools":[{"type":"file_search","vector_store_ids":["v"]}]"#,
                "tools[0].vector_store_ids",
            ),
        ] {
            let ask = parsed(&format!(r#"{{"model":"m",{fields}}}"#)).unwrap();
            let fault = ask.chat().unwrap_err();
            assert_eq!(Some(&*ask.references[0].path), fault.param.as_deref());
            assert_eq!(
                (fault.code, fault.param.as_deref()),
                (Code::FieldNotAllowed, Some(param)),
                "{fields}"
            );
        }
    }

    #[test]
    fn bodies_with_wrapped_signatures_are_not_passed_on_unchanged() {
        let body = r#"{"model":"m","input":[{"type":"reasoning","summary":[],"encrypted_content":"sluicegate:gemini:e30"}]}"#;
        assert_eq!(parsed(body).unwrap().shape, None);
        assert!(
            parsed(&body.replace("sluicegate:", "x"))
                .unwrap()
                .shape
                .is_some()
        );
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(body in r#"[\[\]{}",:a\\u0-9 ]{0,40}"#) {
            let wrapped = format!(r#"{{"model":"m","input":[{{"role":"assistant","content":{body}}}]}}"#);
            for body in [&body, &wrapped] {
                if let Ok(ask) = parsed(body) {
                    let _ = ask.chat();
                }
            }
        }
    }
}
