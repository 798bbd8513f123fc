use super::*;
use crate::model::fault::{Code, Side};

fn fault(status: u16, body: &str) -> Fault {
    from_body(
        StatusCode::from_u16(status).unwrap(),
        &HeaderMap::new(),
        body.as_bytes(),
    )
}

#[test]
fn every_error_body_shape_is_read() {
    for (body, code, message) in [
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"invalid_value"}}"#,
            "invalid_value",
            "m",
        ),
        (
            r#"{"error":{"code":400,"message":"m","metadata":{"provider_name":"x"}},"user_id":"u"}"#,
            "invalid_request",
            "m",
        ),
        (
            r#"{"error":{"code":400,"message":"m","type":"exceed_context_size_error","n_ctx":5}}"#,
            "context_length_exceeded",
            "m",
        ),
        (
            r#"{"error":{"code":"content_filter","message":"m","param":"prompt","status":400,"innererror":{"code":"x"}}}"#,
            "content_filter",
            "m",
        ),
        (
            r#"{"error":"m","error_type":"validation"}"#,
            "invalid_request",
            "m",
        ),
        (
            r#"{"code":"bad argument","error":"m"}"#,
            "bad argument",
            "m",
        ),
        (
            r#"{"object":"error","message":"m","type":"invalid","param":null,"code":"3051"}"#,
            "3051",
            "m",
        ),
        (
            r#"{"code":400,"message":"m","type":"Bad Request"}"#,
            "invalid_request",
            "m",
        ),
        (r#"{"detail":"m"}"#, "invalid_request", "m"),
        (
            r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"m","type":"x"}]}"#,
            "invalid_request",
            "body.messages.0.role: m",
        ),
        (r#"{"detail":{"message":"m"}}"#, "invalid_request", "m"),
        (
            r#"{"message":"m","request_id":"r"}"#,
            "invalid_request",
            "m",
        ),
        (
            r#"{"statusCode":400,"message":"m"}"#,
            "invalid_request",
            "m",
        ),
        (r#"{"fault":{"faultstring":"m"}}"#, "invalid_request", "m"),
        (
            r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#,
            "invalid_request",
            "m",
        ),
        ("m\n", "invalid_request", "m"),
    ] {
        let fault = fault(400, body);
        assert_eq!(
            (fault.client_code(), &*fault.message, fault.side),
            (code, message, Side::Client),
            "{body}"
        );
    }
}

#[test]
fn html_pages_and_empty_bodies_are_not_quoted() {
    for body in [
        "",
        "<!DOCTYPE html><title>502 at up.example.com</title>",
        "{\"error\":",
        "\u{0}",
    ] {
        let fault = fault(502, body);
        assert!(
            fault.message.starts_with("the upstream failed") && !fault.message.contains("example"),
            "{}",
            fault.message
        );
        assert_eq!(fault.code, Code::UpstreamError);
    }
}

#[test]
fn the_param_is_kept_and_secrets_are_removed() {
    let fault = fault(
        400,
        r#"{"error":{"message":"key sk-abcdef at https://api.up.example/v1 is bad","param":"messages[0].role","code":null}}"#,
    );
    assert_eq!(
        (&*fault.message, fault.param.as_deref()),
        (
            "key [removed] at [removed] is bad",
            Some("messages[0].role")
        )
    );
}

#[test]
fn payloads_without_an_error_give_none() {
    for json in [
        "{}",
        "[]",
        "1",
        r#"{"choices":[],"message":"m"}"#,
        r#"{"error":null}"#,
        r#"{"base_resp":{"status_code":0}}"#,
        "{\"a\":",
    ] {
        assert!(from_payload(json).is_none(), "{json}");
    }
}

#[test]
fn known_error_objects_always_give_a_fault() {
    let flat = from_object(
        r#"{"type":"error","sequence_number":3,"code":"rate_limit_exceeded","message":"slow down","param":null}"#,
    );
    assert_eq!((flat.code, flat.retryable), (Code::RateLimited, true));
    let prompt = from_object(r#"{"type":"error","code":"invalid_prompt","message":"m"}"#);
    assert_eq!(
        (
            prompt.client_code(),
            prompt.native_type.as_deref(),
            prompt.status.as_u16()
        ),
        ("invalid_prompt", None, 400)
    );
    let nested = from_object(
        r#"{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota","message":"pay"}}"#,
    );
    assert_eq!(
        (
            nested.client_code(),
            nested.status.as_u16(),
            nested.retryable
        ),
        ("insufficient_quota", 429, false)
    );
    let failed = from_object(
        r#"{"object":"response","status":"failed","error":{"code":"server_error","message":"m"},"output":[]}"#,
    );
    assert_eq!((failed.code, failed.retryable), (Code::UpstreamError, true));
    let code_alone = from_object(r#"{"type":"error","code":"rate_limit_exceeded","message":null}"#);
    assert_eq!(code_alone.code, Code::RateLimited);
    for json in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"error":null,"status":"failed"}"#,
    ] {
        assert_eq!(from_object(json).code, Code::UpstreamError, "{json}");
    }
}
