//! Writes the request for a target.
//!
//! A body of this wire's shape is forwarded unchanged, except for the members that mode and
//! metering must set and for another wire's reasoning that this gateway added. Any other request is
//! written from the translated chat.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{body, foreign};
use crate::codec::json::Fields;
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::{Draft, Mode};

/// The client's headers that are forwarded.
const FORWARDED_HEADERS: [&str; 2] = ["openai-beta", "traceparent"];

/// Returns the request for a target.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::OpenaiChat) {
        forwarded(&ask.body, target, mode)?
    } else {
        body::write(ask.chat()?, target, mode)?
    };
    Ok(Draft {
        path: "/chat/completions".to_owned(),
        headers: headers(&ask.headers),
        body,
    })
}

fn headers(received: &[(HeaderName, HeaderValue)]) -> Vec<(HeaderName, HeaderValue)> {
    received
        .iter()
        .filter(|(name, _)| FORWARDED_HEADERS.contains(&name.as_str()))
        .cloned()
        .collect()
}

fn forwarded(body: &[u8], target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let fields = fields(body)?;
    let model = serde_json::Value::from(&**target.upstream_model()).to_string();
    let mut changes = vec![("model", model.as_str())];
    let messages = foreign::without_foreign_reasoning(&fields);
    if let Some(messages) = &messages {
        changes.push(("messages", messages));
    }
    if mode == Mode::Whole {
        return Ok(fields.with(&changes));
    }
    // Members that have the required value already stay byte for byte.
    if fields
        .get("stream")
        .is_none_or(|value| value.get() != "true")
    {
        changes.push(("stream", "true"));
    }
    if target.provider.quirks.no_stream_options {
        let body = fields.with(&changes);
        // This target sends usage unasked, or rejects the option.
        return if fields.get("stream_options").is_some() {
            Ok(self::fields(&body)?.without("stream_options"))
        } else {
            Ok(body)
        };
    }
    let options = stream_options(&fields)?;
    if let Some(options) = &options {
        changes.push(("stream_options", options));
    }
    Ok(fields.with(&changes))
}

fn fields(body: &[u8]) -> Result<Fields<'_>, Fault> {
    Fields::parse(body)
        .map_err(|error| Fault::invalid("body", format!("the body is not a JSON object: {error}")))
}

/// Returns the client's `stream_options` with `include_usage` set, or `None` if it is set already.
fn stream_options(fields: &Fields<'_>) -> Result<Option<String>, Fault> {
    let Some(options) = fields
        .get("stream_options")
        .filter(|value| value.get() != "null")
    else {
        return Ok(Some(r#"{"include_usage":true}"#.to_owned()));
    };
    let members = Fields::parse(options.get().as_bytes());
    let members = members.map_err(|_| {
        Fault::invalid(
            "stream_options",
            "`stream_options` is not a JSON object: send one, or leave it out",
        )
    })?;
    if members
        .get("include_usage")
        .is_some_and(|value| value.get() == "true")
    {
        return Ok(None);
    }
    Ok(Some(
        String::from_utf8_lossy(&members.with(&[("include_usage", "true")])).into_owned(),
    ))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::model::chat::Chat;
    use crate::model::target::{Provider, Quirks};

    fn target(no_stream_options: bool) -> Target {
        let provider = Provider {
            quirks: Quirks {
                no_stream_options,
                ..Quirks::default()
            },
            ..Provider::example(WireId::OpenaiChat, "https://up.example/v1")
        };
        Target::example(provider, "up\"stream")
    }

    fn ask(body: &'static str) -> Ask {
        Ask::example(WireId::OpenaiChat, body, Chat::default()).with_headers(&[
            ("openai-beta", "x"),
            ("traceparent", "t"),
            ("anthropic-beta", "a"),
            ("cookie", "c"),
        ])
    }

    fn body(received: &'static str, no_stream_options: bool, mode: Mode) -> String {
        let draft = draft(&ask(received), &target(no_stream_options), mode).unwrap();
        String::from_utf8(draft.body.to_vec()).unwrap()
    }

    #[test]
    fn a_stream_is_requested_with_its_usage() {
        assert_eq!(
            body(r#"{"model":"m", "x":1.0}"#, false, Mode::Stream),
            r#"{"model":"up\"stream", "x":1.0,"stream":true,"stream_options":{"include_usage":true}}"#
        );
        assert_eq!(
            body(
                r#"{"stream_options":{"include_obfuscation":false,"include_usage":false},"stream":false,"model":"m"}"#,
                false,
                Mode::Stream
            ),
            r#"{"stream_options":{"include_obfuscation":false,"include_usage":true},"stream":true,"model":"up\"stream"}"#
        );
        assert_eq!(
            body(
                r#"{"model":"m","stream": true,"stream_options": { "include_usage" : true }}"#,
                false,
                Mode::Stream
            ),
            r#"{"model":"up\"stream","stream": true,"stream_options": { "include_usage" : true }}"#
        );
        assert_eq!(
            body(
                r#"{"model":"m","stream_options":null,"stream":true}"#,
                false,
                Mode::Stream
            ),
            r#"{"model":"up\"stream","stream_options":{"include_usage":true},"stream":true}"#
        );
    }

    #[test]
    fn targets_that_reject_stream_options_get_none() {
        assert_eq!(
            body(r#"{"model":"m","stream":true}"#, true, Mode::Stream),
            r#"{"model":"up\"stream","stream":true}"#
        );
        assert_eq!(
            body(
                r#"{"model":"m","stream_options":{"include_usage":true}, "x":1.0}"#,
                true,
                Mode::Stream
            ),
            r#"{"model":"up\"stream", "x":1.0,"stream":true}"#
        );
        assert_eq!(
            body(
                r#"{"model":"m","stream":false,"stream_options":null}"#,
                true,
                Mode::Whole
            ),
            r#"{"model":"up\"stream","stream":false,"stream_options":null}"#
        );
    }

    #[test]
    fn a_non_streaming_body_is_forwarded_unchanged() {
        assert_eq!(
            body(r#"{"model":"m","stream":false, "n":2}"#, false, Mode::Whole),
            r#"{"model":"up\"stream","stream":false, "n":2}"#
        );
    }

    #[test]
    fn only_this_wires_headers_are_forwarded() {
        let draft = draft(&ask(r#"{"model":"m"}"#), &target(false), Mode::Stream).unwrap();
        assert_eq!(
            draft
                .headers
                .iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>(),
            ["openai-beta", "traceparent"]
        );
        assert_eq!(draft.path, "/chat/completions");
    }

    #[test]
    fn values_that_are_not_objects_are_rejected_by_name() {
        let wrong = super::draft(
            &ask(r#"{"model":"m","stream_options":1}"#),
            &target(false),
            Mode::Stream,
        )
        .unwrap_err();
        assert_eq!(
            (wrong.status.as_u16(), wrong.param.as_deref()),
            (400, Some("stream_options"))
        );
        assert_eq!(
            super::draft(&ask("[]"), &target(false), Mode::Stream)
                .unwrap_err()
                .status,
            400
        );
    }
}
