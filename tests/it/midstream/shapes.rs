//! Errors and unusual streams in the format of each wire.

use bytes::Bytes;
use serde_json::{Value, json};

use super::SECRET;
use crate::rig::{Answer, WireId, encode};

/// An error in a stream.
pub struct ErrorShape {
    /// Its description.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
    /// Status that a client receives if it can still have one.
    pub status: u16,
    /// Code that clients receive.
    pub code: &'static str,
    /// True if the provider ends its stream normally after the error.
    pub followed_by_end: bool,
}

impl ErrorShape {
    fn new(name: &'static str, status: u16, code: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self {
            name,
            bytes: bytes.into(),
            status,
            code,
            followed_by_end: false,
        }
    }

    fn followed_by_end(mut self) -> Self {
        self.followed_by_end = true;
        self
    }
}

fn message() -> String {
    format!("It broke, {SECRET}.")
}

fn data(json: &Value) -> String {
    format!("data: {json}\n\n")
}

fn named(name: &str, json: &Value) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

/// Returns every shape in which this wire reports an error in a stream.
pub fn error_shapes(wire: WireId) -> Vec<ErrorShape> {
    let mut all = vec![ErrorShape::new(
        "the usual one",
        502,
        "upstream_error",
        encode::error(wire, &message()),
    )];
    all.extend(match wire {
        WireId::OpenaiChat => openai_chat(),
        WireId::OpenaiResponses => openai_responses(),
        WireId::Anthropic => anthropic(),
        WireId::Gemini => gemini(),
        WireId::Bedrock => bedrock(),
        WireId::Ollama => ollama(),
        WireId::Cohere => cohere(),
    });
    all
}

fn openai_chat() -> Vec<ErrorShape> {
    let error = |kind: &str, code: Value| json!({"error": {"message": message(), "type": kind, "param": null, "code": code}});
    let server = error("server_error", Value::Null);
    let tgi = json!({"error": message(), "error_type": "overloaded"});
    let groq = json!({"error": {"message": message(), "type": "invalid_request_error", "code": "tool_use_failed", "failed_generation": "{", "status_code": 400}});
    let router = json!({"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "provider": "p",
        "error": {"code": 502, "message": message(), "metadata": {"error_type": "provider_unavailable"}},
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]});
    let gone = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]});
    vec![
        ErrorShape::new(
            "a limit",
            429,
            "rate_limited",
            data(&error("requests", "rate_limit_exceeded".into())),
        ),
        ErrorShape::new(
            "a spent quota",
            429,
            "insufficient_quota",
            data(&error("insufficient_quota", "insufficient_quota".into())),
        ),
        ErrorShape::new(
            "a number for a code",
            503,
            "overloaded",
            data(&error("unavailable_error", 503.into())),
        ),
        ErrorShape::new(
            "with a name",
            502,
            "upstream_error",
            named("error", &server),
        ),
        ErrorShape::new(
            "as a field of SSE",
            502,
            "upstream_error",
            format!("error: {server}\n\n"),
        ),
        ErrorShape::new("followed by [DONE]", 502, "upstream_error", data(&server))
            .followed_by_end(),
        ErrorShape::new("Text Generation Inference", 503, "overloaded", data(&tgi))
            .followed_by_end(),
        ErrorShape::new("Groq", 400, "tool_use_failed", named("error", &groq)),
        ErrorShape::new(
            "Groq's own",
            502,
            "upstream_error",
            data(&json!({"choices": [], "x_groq": {"id": "req_1", "error": message()}})),
        ),
        ErrorShape::new("OpenRouter", 502, "upstream_error", data(&router)).followed_by_end(),
        ErrorShape::new(
            "a finish reason",
            502,
            "upstream_error",
            data(&gone) + "data: [DONE]\n\n",
        ),
    ]
}

fn openai_responses() -> Vec<ErrorShape> {
    let error = json!({"type": "server_error", "code": "server_error", "message": message(), "param": null});
    let flat = json!({"type": "error", "sequence_number": 9, "code": "rate_limit_exceeded", "message": message(), "param": null});
    let nested = json!({"type": "error", "sequence_number": 9, "error": error});
    let failed = json!({"type": "response.failed", "sequence_number": 10, "response": {"id": "resp_up", "object": "response",
        "created_at": 1, "status": "failed", "model": "m-up", "output": [], "error": {"code": "server_error", "message": message()},
        "usage": null}});
    vec![
        ErrorShape::new("flat", 429, "rate_limited", named("error", &flat)),
        ErrorShape::new("nested", 502, "upstream_error", named("error", &nested)),
        ErrorShape::new(
            "failed",
            502,
            "upstream_error",
            named("response.failed", &failed),
        ),
        ErrorShape::new(
            "reported twice",
            502,
            "upstream_error",
            named("error", &nested) + &named("response.failed", &failed),
        ),
        ErrorShape::new("without a name", 502, "upstream_error", data(&nested)),
    ]
}

fn anthropic() -> Vec<ErrorShape> {
    let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": message()}, "request_id": "req_1"});
    vec![
        ErrorShape::new(
            "overload",
            503,
            "overloaded",
            named("error", &error("overloaded_error")),
        ),
        ErrorShape::new(
            "a limit",
            429,
            "rate_limited",
            named("error", &error("rate_limit_error")),
        ),
        ErrorShape::new(
            "the client's mistake",
            400,
            "invalid_request",
            named("error", &error("invalid_request_error")),
        ),
        ErrorShape::new(
            "a timeout",
            502,
            "upstream_error",
            named("error", &error("timeout_error")),
        ),
        ErrorShape::new(
            "a credential",
            502,
            "upstream_auth",
            named("error", &error("authentication_error")),
        ),
        ErrorShape::new(
            "without a name",
            503,
            "overloaded",
            data(&error("overloaded_error")),
        ),
        ErrorShape::new(
            "followed by an end",
            503,
            "overloaded",
            named("error", &error("overloaded_error")),
        )
        .followed_by_end(),
    ]
}

fn gemini() -> Vec<ErrorShape> {
    let error = |code: u16, status: &str| json!({"error": {"code": code, "message": message(), "status": status}});
    let pretty = serde_json::to_string_pretty(&error(503, "UNAVAILABLE")).unwrap();
    vec![
        ErrorShape::new(
            "a limit, bare",
            429,
            "rate_limited",
            format!("{}\n", error(429, "RESOURCE_EXHAUSTED")),
        ),
        ErrorShape::new("overload, over lines", 503, "overloaded", pretty.clone()),
        ErrorShape::new(
            "overload, over lines with CR",
            503,
            "overloaded",
            pretty.replace('\n', "\r\n") + "\r\n",
        ),
        ErrorShape::new("in a list", 503, "overloaded", format!("[{pretty}]\n")),
        ErrorShape::new(
            "as data",
            502,
            "upstream_error",
            data(&error(500, "INTERNAL")),
        ),
        ErrorShape::new(
            "the client's mistake",
            400,
            "invalid_request",
            data(&error(400, "INVALID_ARGUMENT")),
        ),
    ]
}

fn bedrock() -> Vec<ErrorShape> {
    let exception = |name: &str| {
        let headers = [
            (":message-type", "exception"),
            (":exception-type", name),
            (":content-type", "application/json"),
        ];
        encode::bedrock::framed(&headers, &json!({"message": message()}).to_string())
    };
    let error = [
        (":message-type", "error"),
        (":error-code", "InternalFailure"),
        (":error-message", "It broke."),
    ];
    let mut broken = encode::bedrock::event(
        "contentBlockDelta",
        &json!({"contentBlockIndex": 0, "delta": {"text": "x"}}),
    )
    .to_vec();
    *broken.last_mut().unwrap() ^= 1;
    vec![
        ErrorShape::new(
            "a limit",
            429,
            "rate_limited",
            exception("throttlingException"),
        ),
        ErrorShape::new(
            "overload",
            503,
            "overloaded",
            exception("serviceUnavailableException"),
        ),
        ErrorShape::new(
            "the model's",
            502,
            "upstream_error",
            exception("modelStreamErrorException"),
        ),
        ErrorShape::new(
            "a timeout",
            502,
            "upstream_error",
            exception("modelTimeoutException"),
        ),
        ErrorShape::new(
            "the client's mistake",
            400,
            "invalid_request",
            exception("validationException"),
        ),
        ErrorShape::new(
            "an unknown exception",
            502,
            "upstream_error",
            exception("aNewException"),
        ),
        ErrorShape::new(
            "an error of the frames",
            502,
            "upstream_error",
            encode::bedrock::framed(&error, ""),
        ),
        ErrorShape::new("a checksum that is wrong", 502, "upstream_error", broken),
        ErrorShape::new(
            "followed by an end",
            429,
            "rate_limited",
            exception("throttlingException"),
        )
        .followed_by_end(),
    ]
}

fn ollama() -> Vec<ErrorShape> {
    let line = |text: &str| format!("{}\n", json!({ "error": text }));
    vec![
        ErrorShape::new(
            "another line",
            502,
            "upstream_error",
            line("an error was encountered while running the model"),
        ),
        ErrorShape::new(
            "an object",
            502,
            "upstream_error",
            format!("{}\n", json!({"error": {"message": message()}})),
        ),
        ErrorShape::new(
            "without a line end",
            502,
            "upstream_error",
            json!({ "error": message() }).to_string(),
        ),
    ]
}

fn cohere() -> Vec<ErrorShape> {
    let end = |reason: &str, error: Value| {
        let usage = json!({"billed_units": {"input_tokens": 1, "output_tokens": 1}, "tokens": {"input_tokens": 1, "output_tokens": 1}});
        json!({"id": "i-1", "type": "message-end", "delta": {"finish_reason": reason, "error": error, "usage": usage}})
    };
    vec![
        ErrorShape::new(
            "an end with words",
            502,
            "upstream_error",
            named("message-end", &end("ERROR", message().into())),
        ),
        ErrorShape::new(
            "an end without words",
            502,
            "upstream_error",
            named("message-end", &end("ERROR", Value::Null)),
        ),
        ErrorShape::new(
            "a timeout",
            502,
            "upstream_error",
            named("message-end", &end("TIMEOUT", Value::Null)),
        ),
        ErrorShape::new(
            "and [DONE]",
            502,
            "upstream_error",
            named("message-end", &end("ERROR", message().into())) + "data: [DONE]\n\n",
        ),
    ]
}

/// A stream with unusual content.
pub struct OddStream {
    /// Its description.
    pub name: &'static str,
    /// Its content type.
    pub kind: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its text.
    pub text: String,
    /// Its tool call.
    pub call: Option<(String, Value)>,
    /// True if the payload that is passed on unchanged is not JSON that every parser accepts.
    pub invalid_json: bool,
}

impl OddStream {
    fn new(wire: WireId, name: &'static str, bytes: Vec<u8>, text: &str) -> Self {
        let kind = encode::for_wire(wire).content_type();
        Self {
            name,
            kind,
            bytes: bytes.into(),
            text: text.to_owned(),
            call: None,
            invalid_json: false,
        }
    }
}

/// Placeholder in a token, replaced by the unusual bytes.
const MARK: &str = "MARK";

/// Returns the unusual streams of this wire, as far as its framing allows them.
pub fn odd_streams(wire: WireId) -> Vec<OddStream> {
    let odd = |name, bytes: Vec<u8>, text: &str| OddStream::new(wire, name, bytes, text);
    let mut all = Vec::new();
    if wire == WireId::Bedrock {
        return all;
    }
    let marked = Answer {
        tokens: vec!["a ".into(), MARK.into(), " b".into()],
        ..Answer::tokens(0)
    }
    .stream(wire);
    let with = |replaced: &[u8]| replace(&marked, MARK.as_bytes(), replaced);
    all.push(odd(
        "a line separator as it is",
        with("\u{2028}\u{2029}\u{85}".as_bytes()),
        "a \u{2028}\u{2029}\u{85} b",
    ));
    all.push(odd("a null as an escape", with(b"\\u0000"), "a \u{0} b"));
    all.push(odd(
        "a byte order mark in the text",
        with("\u{feff}".as_bytes()),
        "a \u{feff} b",
    ));
    all.push(odd(
        "bytes that are no text",
        with(b"\xff\xc3"),
        "a \u{fffd} b",
    ));
    all.push(OddStream {
        invalid_json: true,
        ..odd(
            "half of a pair as an escape",
            with(b"\\ud83d"),
            "a \u{fffd} b",
        )
    });
    all.push(OddStream {
        invalid_json: true,
        ..odd("the other half", with(b"\\ude00x"), "a \u{fffd}x b")
    });
    all.push(odd(
        "a pair as escapes",
        with(b"\\ud83d\\ude00"),
        "a \u{1f600} b",
    ));
    if wire == WireId::Ollama {
        all.push(odd(
            "blank lines",
            replace(&marked, b"\n", b"\n\n\r\n"),
            "a MARK b",
        ));
        return all;
    }
    all.extend(framing_odd_streams(wire));
    if wire == WireId::OpenaiChat {
        all.extend(chat_odd_streams());
    }
    all
}

/// Unusual but valid server-sent events.
fn framing_odd_streams(wire: WireId) -> Vec<OddStream> {
    let odd = |name, bytes: Vec<u8>, text: &str| OddStream::new(wire, name, bytes, text);
    let mut all = Vec::new();
    let plain = Answer::tokens(2).stream(wire);
    let plain = String::from_utf8(plain.to_vec())
        .unwrap()
        .replace("\r\n", "\n");
    let between = |what: &str| plain.replace("\n\n", &format!("\n\n{what}")).into_bytes();
    let text = "tok0 tok1 ";
    all.push(odd("events without data", between("event: ping\n\n"), text));
    all.push(odd("events with empty data", between("data:\n\n"), text));
    all.push(odd(
        "events with blank data",
        between("data: \ndata:\n\n"),
        text,
    ));
    all.push(odd(
        "ids and times alone",
        between("id: 7\n\nretry: 10\n\n"),
        text,
    ));
    all.push(odd(
        "ids with a null, times that are none",
        between("id: a\u{0}b\nretry: soon\n\n"),
        text,
    ));
    all.push(odd("unknown fields", between("vendor: 1\nfield\n\n"), text));
    all.push(odd(
        "comments everywhere",
        between(":\n: ping\n\n:::\n\n"),
        text,
    ));
    all.push(odd("bare CR", plain.replace('\n', "\r").into_bytes(), text));
    all.push(odd(
        "a mark before all",
        [b"\xef\xbb\xbf", plain.as_bytes()].concat(),
        text,
    ));
    all.push(odd(
        "blank lines before all",
        [b"\n\r\n\r\r\n\n", plain.as_bytes()].concat(),
        text,
    ));
    // Gemini's stream ends with the body: frames after a finish reason still belong to the answer.
    if wire != WireId::Gemini {
        all.push(odd(
            "the same again after the end",
            plain.repeat(2).into_bytes(),
            text,
        ));
        all.push(odd(
            "rubbish after the end",
            [plain.as_bytes(), b"data: {\"half\n\n\xff\xfe"].concat(),
            text,
        ));
    }
    all
}

/// Unusual chunks of Chat Completions.
fn chat_odd_streams() -> Vec<OddStream> {
    let chunk = |choices: Value| {
        data(
            &json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}),
        )
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]))
    };
    let odd = |name, chunks: &[String], call: Option<(String, Value)>| {
        let finish = if call.is_some() { "tool_calls" } else { "stop" };
        let text = delta(json!({"content": "tok0 "}), Value::Null);
        let body = text + &chunks.concat() + &delta(json!({}), finish.into()) + "data: [DONE]\n\n";
        OddStream {
            name,
            kind: "text/event-stream",
            bytes: body.into(),
            text: "tok0 ".into(),
            call,
            invalid_json: true,
        }
    };
    let call = |function: Value| {
        delta(
            json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]}),
            Value::Null,
        )
    };
    let look = |arguments: Value| Some(("look".to_owned(), arguments));
    vec![
        odd("choices that are null", &[chunk(Value::Null)], None),
        odd("a choice that is null", &[chunk(json!([null]))], None),
        odd(
            "a delta that is null",
            &[delta(Value::Null, Value::Null)],
            None,
        ),
        odd(
            "an empty finish reason",
            &[delta(json!({"content": ""}), "".into())],
            None,
        ),
        odd(
            "an empty list of calls",
            &[delta(
                json!({"tool_calls": [], "content": null}),
                Value::Null,
            )],
            None,
        ),
        odd(
            "calls that are null",
            &[delta(
                json!({"tool_calls": null, "reasoning": null, "refusal": null}),
                Value::Null,
            )],
            None,
        ),
        odd(
            "arguments that are an object",
            &[call(
                json!({"name": "look", "arguments": {"at": [1, {"b": null}]}}),
            )],
            look(json!({"at": [1, {"b": null}]})),
        ),
        odd(
            "arguments that are null",
            &[call(json!({"name": "look", "arguments": null}))],
            look(json!({})),
        ),
        odd(
            "no arguments at all",
            &[call(json!({"name": "look"}))],
            look(json!({})),
        ),
        odd(
            "an object that is no chunk",
            &[
                data(&json!({"object": "ping"})),
                data(&json!([])),
                data(&json!(7)),
                data(&Value::Null),
            ],
            None,
        ),
    ]
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
