//! Errors that were never recorded, as each wire's provider and the proxies in front of it would
//! send them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Refusal;
use crate::rig::{WireId, encode};

/// Every status with a rule of its own, and some without.
const STATUSES: [u16; 25] = [
    301, 302, 400, 401, 402, 403, 404, 405, 407, 408, 409, 413, 415, 418, 422, 424, 425, 429, 500,
    501, 502, 503, 504, 520, 529,
];
/// Statuses whose error message may be quoted to clients.
const QUOTED: [u16; 8] = [400, 404, 413, 422, 429, 500, 503, 529];
/// A message with secrets that must not be quoted.
const PLANTED: &str = "No. key sk-planted0123456789, AKIAPLANTED12345678 or AIzaSyPlanted0123456789012345678901234 of upstream-secret at \
    https://planted.internal:8080/v1?key=1 (10.1.2.3)";
const PAGE: &str = "<!DOCTYPE html>\r\n<html><head><title>planted.internal</title></head><body><h1>Bad Gateway</h1><hr>cloud edge</body></html>";

/// Returns all made-up errors of a wire.
pub fn for_wire(wire: WireId) -> Vec<Refusal> {
    let mut all = Vec::new();
    let refusal = |status, message: &str| encode::refusal(wire, status, message).to_string();
    all.extend(STATUSES.map(|status| {
        error_response(
            status,
            "in its own shape",
            &[],
            refusal(status, "Scripted refusal, see `messages`."),
        )
    }));
    all.extend(
        QUOTED.map(|status| error_response(status, "with secrets", &[], refusal(status, PLANTED))),
    );
    all.extend(damaged(wire));
    all.extend(with_retry_delay(wire));
    all.extend(provider_errors(wire));
    all
}

/// Header fields.
type Fields<'a> = &'a [(&'a str, &'a str)];

fn error_response(status: u16, name: &str, headers: Fields<'_>, body: impl Into<Bytes>) -> Refusal {
    let kind = [("content-type", "application/json")];
    let own = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
    let typed = headers.iter().any(|(name, _)| *name == "content-type");
    let headers = kind
        .iter()
        .filter(|_| !typed)
        .chain(headers)
        .map(own)
        .collect();
    Refusal {
        name: name.to_owned(),
        status,
        headers,
        body: body.into(),
    }
}

/// Errors of a proxy in front of a provider, and bodies that are damaged.
fn damaged(wire: WireId) -> Vec<Refusal> {
    let html = [("content-type", "text/html; charset=UTF-8")];
    let mut all = Vec::new();
    for status in [400, 401, 413, 429, 502, 503, 524] {
        all.push(error_response(status, "a page", &html, PAGE));
        all.push(error_response(status, "nothing at all", &[], ""));
    }
    for (name, body) in [
        (
            "half of an object",
            &b"{\"error\":{\"message\":\"it bro"[..],
        ),
        ("null", b"null"),
        ("a number", b"7"),
        ("an empty object", b"{}"),
        ("an empty list", b"[]"),
        ("an error that is null", b"{\"error\":null}"),
        ("an error that is a number", b"{\"error\":7,\"message\":[]}"),
        (
            "an empty message",
            b"{\"error\":{\"message\":\"\",\"code\":\"\",\"type\":\"\"},\"message\":\"\"}",
        ),
        (
            "bytes that are no text",
            b"\xff\xfe\x00\x01 sk-planted0123456789",
        ),
        (
            "a byte order mark",
            b"\xef\xbb\xbf{\"error\":{\"message\":\"marked\"}}",
        ),
    ] {
        all.extend([400, 500].map(|status| error_response(status, name, &[], body)));
    }
    let long = encode::refusal(wire, 400, &"long words ".repeat(20_000)).to_string();
    all.push(error_response(500, "a body without end", &[], long));
    let deep = format!(
        "{{\"error\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    all.push(error_response(400, "a body without bottom", &[], deep));
    all
}

/// Errors with a retry delay.
fn with_retry_delay(wire: WireId) -> Vec<Refusal> {
    let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
    let fields: [(&str, Fields<'_>); 8] = [
        ("in 30 s", &[("retry-after", "30")]),
        ("in 1 s", &[("retry-after", "1")]),
        ("at once", &[("retry-after", "0")]),
        ("in milliseconds", &[("retry-after-ms", "31500")]),
        (
            "the milliseconds are more",
            &[("retry-after", "30"), ("retry-after-ms", "30500")],
        ),
        (
            "the seconds are more",
            &[("retry-after", "31"), ("retry-after-ms", "30500")],
        ),
        (
            "at a time of day",
            &[("retry-after", "Wed, 21 Oct 2026 07:29:30 GMT"), date],
        ),
        (
            "nonsense",
            &[("retry-after", "soon"), ("retry-after-ms", "-5")],
        ),
    ];
    let wait = |(name, fields): &(&str, Fields<'_>)| {
        [429, 503, 529, 500].map(|status| {
            error_response(
                status,
                name,
                fields,
                encode::refusal(wire, status, "Come back.").to_string(),
            )
        })
    };
    fields.iter().flat_map(wait).collect()
}

/// Errors specific to this provider.
fn provider_errors(wire: WireId) -> Vec<Refusal> {
    match wire {
        WireId::OpenaiChat => [openai_errors(), compatible_errors()].concat(),
        WireId::OpenaiResponses => openai_errors(),
        WireId::Anthropic => anthropic_errors(),
        WireId::Gemini => google_errors(),
        WireId::Bedrock => aws_errors(),
        WireId::Ollama => ollama_errors(),
        WireId::Cohere => cohere_errors(),
    }
}

fn json_errors(cases: Vec<(u16, &str, Value)>) -> Vec<Refusal> {
    cases
        .into_iter()
        .map(|(status, name, body)| error_response(status, name, &[], body.to_string()))
        .collect()
}

fn openai_errors() -> Vec<Refusal> {
    let error = |message: &str, kind: &str, param: Value, code: Value| json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    let quota = error(
        "You exceeded your current quota.",
        "insufficient_quota",
        Value::Null,
        "insufficient_quota".into(),
    );
    let limited = error(
        "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000.",
        "tokens",
        Value::Null,
        "rate_limit_exceeded".into(),
    );
    let long = error(
        "Your input exceeds the context window.",
        "invalid_request_error",
        "messages".into(),
        "context_length_exceeded".into(),
    );
    let model = error(
        "The model `gpt-9` does not exist.",
        "invalid_request_error",
        Value::Null,
        "model_not_found".into(),
    );
    let slow = error(
        "Slow down.",
        "server_error",
        Value::Null,
        "slow_down".into(),
    );
    let filtered = json!({"error": {"code": "content_filter", "message": "The prompt was filtered.", "param": "prompt", "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": true, "severity": "high"}}}}});
    let deployment = json!({"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}});
    json_errors(vec![
        (429, "a spent quota", quota),
        (429, "a rate limit", limited),
        (400, "too long a prompt", long),
        (404, "no such model", model),
        (503, "overload", slow),
        (400, "a filtered prompt", filtered),
        (404, "no such deployment", deployment),
        (
            401,
            "a gateway before Azure",
            json!({"statusCode": 401, "message": "Access denied due to invalid subscription key."}),
        ),
        (
            429,
            "a gateway before Azure",
            json!({"statusCode": 429, "message": "Rate limit is exceeded. Try again in 27 seconds."}),
        ),
    ])
}

/// Errors of servers that are compatible with OpenAI's API.
fn compatible_errors() -> Vec<Refusal> {
    json_errors(vec![
        (
            422,
            "Mistral",
            json!({"object": "error", "message": "Extra inputs are not permitted", "type": "invalid_request_error",
            "param": "messages", "code": "1000"}),
        ),
        (
            429,
            "Mistral",
            json!({"message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"}),
        ),
        (
            401,
            "Mistral",
            json!({"message": "Unauthorized", "request_id": "r-1"}),
        ),
        (
            400,
            "vLLM",
            json!({"object": "error", "message": "This model's maximum context length is 4096 tokens.",
            "type": "BadRequestError", "param": null, "code": 400}),
        ),
        (
            429,
            "Text Generation Inference",
            json!({"error": "Model is overloaded", "error_type": "overloaded"}),
        ),
        (
            422,
            "Text Generation Inference",
            json!({"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
            "error_type": "validation"}),
        ),
        (
            424,
            "Text Generation Inference",
            json!({"error": "Request failed during generation", "error_type": "generation"}),
        ),
        (
            402,
            "OpenRouter",
            json!({"error": {"code": 402, "message": "Insufficient credits."}, "user_id": "u-1"}),
        ),
        (
            408,
            "OpenRouter",
            json!({"error": {"code": 408, "message": "Timed out."}}),
        ),
        (
            403,
            "OpenRouter",
            json!({"error": {"code": 403, "message": "Flagged.", "metadata": {"reasons": ["violence"]}}}),
        ),
        (
            404,
            "Fireworks",
            json!({"error": {"object": "error", "type": "NOT_FOUND", "message": "Model not found"}}),
        ),
        (
            500,
            "a gateway",
            json!({"fault": {"faultstring": "Gateway broke", "detail": {"errorcode": "x"}}}),
        ),
        (
            503,
            "llama.cpp",
            json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        ),
    ])
}

fn anthropic_errors() -> Vec<Refusal> {
    let error = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"});
    json_errors(vec![
        (529, "overload", error("overloaded_error", "Overloaded")),
        (
            413,
            "too large",
            error("request_too_large", "Request exceeds the maximum size"),
        ),
        (
            402,
            "no credit",
            error("billing_error", "Your credit balance is too low"),
        ),
        (409, "a conflict", error("conflict_error", "Conflict")),
        (504, "a timeout", error("timeout_error", "Timed out")),
        (
            429,
            "a rate limit",
            error(
                "rate_limit_error",
                "This request would exceed your organization's rate limit",
            ),
        ),
    ])
}

fn google_errors() -> Vec<Refusal> {
    let error = |code: u16, status: &str, message: &str, details: Value| json!({"error": {"code": code, "message": message, "status": status, "details": details}});
    let delay = |text: &str| json!([{"@type": "type.googleapis.com/google.rpc.Help"}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": text}]);
    let violation = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "contents", "description": "no"}]}]);
    let key = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]);
    let mut all = json_errors(vec![
        (
            429,
            "a wait in the body",
            error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", delay("34.5s")),
        ),
        (
            429,
            "a short wait in the body",
            error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", delay("1s")),
        ),
        (
            503,
            "a wait in the body",
            error(503, "UNAVAILABLE", "The model is overloaded.", delay("12s")),
        ),
        (
            400,
            "a field",
            error(400, "INVALID_ARGUMENT", "Invalid value.", violation),
        ),
        (
            400,
            "a bad key",
            error(400, "INVALID_ARGUMENT", "API key not valid.", key),
        ),
        (
            504,
            "a deadline",
            error(504, "DEADLINE_EXCEEDED", "Deadline expired.", json!([])),
        ),
        (
            400,
            "in a list",
            json!([error(400, "INVALID_ARGUMENT", "Invalid value.", json!([]))]),
        ),
    ]);
    let both = error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", delay("34.5s")).to_string();
    all.push(error_response(
        429,
        "a longer wait in the head",
        &[("retry-after", "60")],
        both,
    ));
    all
}

fn aws_errors() -> Vec<Refusal> {
    let typed = |status, kind: &str, message: &str| {
        let field = format!("{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        error_response(
            status,
            kind,
            &[("x-amzn-errortype", &field)],
            json!({ "message": message }).to_string(),
        )
    };
    let mut all = vec![
        typed(
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
        ),
        typed(400, "ServiceQuotaExceededException", "Too many."),
        typed(
            403,
            "AccessDeniedException",
            "You don't have access to the model.",
        ),
        typed(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        typed(
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        typed(403, "InvalidSignatureException", "Signature expired"),
        typed(
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model",
        ),
        typed(408, "ModelTimeoutException", "It took too long."),
        typed(424, "ModelErrorException", "The model failed."),
        typed(
            429,
            "ThrottlingException",
            "Too many requests, please wait before trying again.",
        ),
        typed(429, "ModelNotReadyException", "The model is not ready."),
        typed(
            500,
            "InternalServerException",
            "The system encountered an unexpected error.",
        ),
        typed(
            503,
            "ServiceUnavailableException",
            "Bedrock is unable to process your request.",
        ),
    ];
    let capital =
        json!({"Message": "User: arn:aws:iam::123456789012:user/planted is not authorized"})
            .to_string();
    all.push(error_response(
        403,
        "AWS itself",
        &[("x-amzn-errortype", "AccessDeniedException")],
        capital,
    ));
    let inside = json!({"__type": "com.amazon.coral.service#ThrottlingException", "message": "Rate exceeded"}).to_string();
    all.push(error_response(429, "the type in the body", &[], inside));
    all
}

fn ollama_errors() -> Vec<Refusal> {
    json_errors(vec![
        (
            404,
            "no such model",
            json!({"error": "model 'llama9' not found"}),
        ),
        (
            400,
            "no tools",
            json!({"error": "llama3 does not support tools"}),
        ),
        (
            503,
            "a full queue",
            json!({"error": "server busy, please try again.  maximum pending requests exceeded"}),
        ),
        (
            500,
            "no memory",
            json!({"error": "model requires more system memory (9.1 GiB) than is available (7.9 GiB)"}),
        ),
        (401, "a bad key", json!({"error": "unauthorized"})),
        (
            429,
            "a rate limit",
            json!({"error": "you have reached your usage limit"}),
        ),
        (
            502,
            "its cloud",
            json!({"error": {"message": "upstream failed"}}),
        ),
    ])
}

fn cohere_errors() -> Vec<Refusal> {
    json_errors(vec![
        (
            400,
            "a bad request",
            json!({"message": "invalid request: message must be at least 1 token long", "id": "i-1"}),
        ),
        (401, "a bad key", json!({"message": "invalid api token"})),
        (
            404,
            "no such model",
            json!({"id": "i-2", "message": "model 'command-x' not found"}),
        ),
        (
            422,
            "a validation",
            json!({"message": "invalid type: parameter max_tokens is of type string", "id": "i-3"}),
        ),
        (
            429,
            "a trial key",
            json!({"message": "You are using a Trial key, which is limited to 20 API calls / minute."}),
        ),
        (
            500,
            "a failure",
            json!({"message": "internal server error", "id": "i-4"}),
        ),
        (503, "overload", json!({"message": "service unavailable"})),
        (504, "a timeout", json!({"message": "request timed out"})),
    ])
}
