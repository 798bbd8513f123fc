//! A request as it stands at the door: the few fields that routing, metering and answering need,
//! what a response repeats of it, and what is kept for later turns. The rest is read only when a
//! target speaks another wire.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use http::{HeaderMap, HeaderName};

use super::pieces::put_name;
use super::{chat, estimate, kept};
use crate::codec::json::put_json;
use crate::dialect::object::Object;
use crate::dialect::{head_fields, references};
use crate::model::ask::{Ask, Asked};
use crate::model::fault::Fault;
use crate::model::wire::{DialectId, WireId};

/// What goes along to an upstream of the same wire.
const BETA: HeaderName = HeaderName::from_static("openai-beta");
/// Resolved here: it names a response of ours.
const PREVIOUS: &str = "previous_response_id";
/// The longest id of a response, bytes.
const MAX_ID: usize = 256;

/// The settings that a response repeats, and what stands for those that were not said; nothing:
/// they are left out then.
const ECHO: [(&str, &str); 20] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", ""),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    (PREVIOUS, "null"),
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

/// Reads the body of `POST /v1/responses`.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn ask(headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    let mut ask = read(&body)?;
    ask.headers = head_fields::passed_headers(headers, &[BETA]);
    let background = ask.asked.as_ref().is_some_and(|asked| asked.background);
    // It runs in the background here: no upstream is to be polled.
    ask.body = if background {
        Object::body(&body)?.fields.without("background")
    } else {
        body
    };
    Ok(ask)
}

/// Everything of the ask but body and headers.
///
/// # Errors
/// As for the whole.
pub(super) fn read(body: &[u8]) -> Result<Ask, Fault> {
    let top = Object::body(body)?;
    if let Some(name) = top
        .fields
        .doubled(chat::FIELDS)
        .or_else(|| top.fields.doubled(references::FIELDS))
    {
        return Err(Fault::invalid(
            name,
            format!("`{name}` comes more than once; send it once"),
        ));
    }
    let mut references = references::find(&top, PREVIOUS)?;
    let asked = asked(&top)?;
    let estimate = estimate::input(&top, asked.previous.is_some())?;
    references.extend(estimate.references);
    Ok(Ask {
        dialect: DialectId::OpenaiResponses,
        // What another wire has made goes back to that wire alone: such a body is written anew for
        // each.
        shape: (!estimate.foreign).then_some(WireId::OpenaiResponses),
        body: Bytes::new(),
        model: head_fields::model(&top)?,
        conversation: None,
        asked: Some(Arc::new(asked)),
        models: head_fields::models_of_tools(&top)?,
        stream: top.read("stream", "true or false")?.unwrap_or(false),
        choices: 1,
        max_output: chat::max_tokens(&top)?,
        include_usage: true,
        input_estimate: estimate.tokens,
        user: chat::user(&top)?.as_deref().and_then(head_fields::user),
        headers: Vec::new(),
        translate: chat::translate,
        chat: references::translation(&references),
        references,
    })
}

fn asked(top: &Object<'_>) -> Result<Asked, Fault> {
    let store = top.read("store", "true or false")?.unwrap_or(true);
    let previous = top.string(PREVIOUS)?.filter(|id| !id.is_empty());
    if previous.as_ref().is_some_and(|id| id.len() > MAX_ID) {
        return Err(top.refuse(PREVIOUS, "the id of a response"));
    }
    Ok(Asked {
        background: top.read("background", "true or false")?.unwrap_or(false),
        store,
        previous: previous.map(ByteString::from),
        echo: echo(top),
        input: if store {
            kept::items(top)?
        } else {
            ByteString::new()
        },
    })
}

fn echo(top: &Object<'_>) -> ByteString {
    let mut buf = BytesMut::with_capacity(512);
    for (name, default) in ECHO {
        let said = top.raw(name).map_or(default, |value| value.get());
        if !said.is_empty() {
            put_name(&mut buf, name);
            put_json(&mut buf, said);
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
    fn what_is_needed_is_read_and_the_body_is_kept() {
        let body = r#"{"model":"smart","input":"12345678","stream":true,"max_output_tokens":50,"x":[1.0]}"#;
        let ask = parsed(body).unwrap();
        assert_eq!(
            (ask.dialect, ask.shape, &*ask.model, ask.stream),
            (
                DialectId::OpenaiResponses,
                Some(WireId::OpenaiResponses),
                "smart",
                true
            )
        );
        assert_eq!(
            (
                ask.choices,
                ask.max_output,
                ask.include_usage,
                ask.input_estimate
            ),
            (1, Some(50), true, 2)
        );
        assert_eq!(ask.body, body.as_bytes());
        let asked = ask.asked.unwrap();
        assert!(asked.store && !asked.background && asked.previous.is_none());
        assert_eq!(
            &*asked.input,
            r#"[{"type":"message","role":"user","content":"12345678"}]"#
        );
        assert!(
            asked.echo.contains(r#","max_output_tokens":50,"#)
                && asked.echo.contains(r#","tool_choice":"auto","#),
            "{}",
            asked.echo
        );
    }

    #[test]
    fn the_background_is_ours_alone() {
        let ask = parsed(r#"{"model":"m","background":true,"input":[{"role":"user","content":"a"}],"store":false}"#).unwrap();
        assert_eq!(
            &ask.body[..],
            br#"{"model":"m","input":[{"role":"user","content":"a"}],"store":false}"#
        );
        let asked = ask.asked.unwrap();
        assert!(asked.background && !asked.store && asked.input.is_empty());
        assert!(asked.echo.starts_with(r#","background":true"#));
    }

    #[test]
    fn every_field_that_is_read_is_checked() {
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
    fn objects_in_the_providers_account_are_found() {
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
    fn what_another_wire_has_made_is_not_passed_on_as_it_came() {
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
        fn no_body_can_break_it(body in r#"[\[\]{}",:a\\u0-9 ]{0,40}"#) {
            let wrapped = format!(r#"{{"model":"m","input":[{{"role":"assistant","content":{body}}}]}}"#);
            for body in [&body, &wrapped] {
                if let Ok(ask) = parsed(body) {
                    let _ = ask.chat();
                }
            }
        }
    }
}
