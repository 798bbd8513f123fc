//! Anthropic's API beside the stream itself: errors in Anthropic's shape on all its paths, header
//! fields, the token count, and the models.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::upstream::{Call, Step, json as whole};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Reply, Request, Setup, Upstream, VirtualClock,
    WireId, encode,
};

const COUNT: &str = "/v1/messages/count_tokens";

/// Asserts a refusal in Anthropic's error shape. Returns the head and the body.
async fn refused(client: &Client, request: &Request, status: u16, kind: &str) -> (Reply, Value) {
    let mut reply = client.ask(request).await;
    let body = reply.json().await;
    assert_eq!(
        (reply.status, &body["type"], &body["error"]["type"]),
        (status, &json!("error"), &json!(kind)),
        "{body}"
    );
    assert!(
        body["error"]["message"]
            .as_str()
            .is_some_and(|it| !it.is_empty())
            && body["error"]["code"].is_string(),
        "{body}"
    );
    let id = body["request_id"].as_str().unwrap();
    assert_eq!(
        (reply.header("request-id"), reply.header("x-request-id")),
        (Some(id), Some(id))
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    (reply, body)
}

/// A `count_tokens` request with a short prompt.
fn prompt(model: &str) -> Request {
    let messages = json!([{"role": "user", "content": "12345678"}]);
    Request::new("POST", COUNT)
        .json(&json!({"model": model, "messages": messages, "system": "1234"}))
}

#[tokio::test]
async fn every_anthropic_path_refuses_in_anthropics_shape() {
    let upstream = Upstream::silent().await;
    let setup = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("server", "max_body = \"1KiB\"");
    let setup = setup.section("auth", "mode = \"required\"").section(
        "keys.ann",
        "secret = \"ann-0123456789abcdef\"\nmodels = [\"*\"]",
    );
    let proxy = setup.start().await;
    let (client, ann) = (&proxy.client, proxy.client.with_key("ann-0123456789abcdef"));
    let chat = || Request::chat(Dialect::Messages, "m", true);
    for path in ["/v1/messages", "/messages", "//v1//messages/", COUNT] {
        refused(client, &prompt("m").at(path), 401, "authentication_error").await;
        let (reply, _) = refused(
            &ann,
            &Request::new("PUT", path),
            405,
            "invalid_request_error",
        )
        .await;
        assert_eq!(reply.header("allow"), Some("POST"));
        refused(
            &ann,
            &Request::new("POST", path).raw("text/plain", "{}"),
            415,
            "invalid_request_error",
        )
        .await;
        refused(
            &ann,
            &prompt("m").at(path).set("system", "x".repeat(2000).into()),
            413,
            "request_too_large",
        )
        .await;
        refused(
            &ann,
            &prompt("m")
                .at(path)
                .header("origin", "https://evil.example"),
            403,
            "permission_error",
        )
        .await;
        refused(
            &ann,
            &prompt("m").at(path).header("host", "evil.example"),
            403,
            "permission_error",
        )
        .await;
    }
    for path in [
        "/v1/messages/nope",
        "/v1/messages/batches",
        "/messages/batches/b/results",
    ] {
        refused(&ann, &Request::new("GET", path), 404, "not_found_error").await;
    }
    let (_, body) = refused(
        &ann,
        &chat().without("max_tokens"),
        400,
        "invalid_request_error",
    )
    .await;
    assert_eq!(
        (&body["error"]["code"], &body["error"]["param"]),
        (&json!("invalid_request"), &json!("max_tokens"))
    );
    let (_, body) = refused(
        &ann,
        &chat().set("container", "c".into()),
        403,
        "permission_error",
    )
    .await;
    assert_eq!(body["error"]["details"]["error_code"], "field_not_allowed");
    let (_, body) = refused(
        &ann,
        &chat().set("model", "mm".into()),
        404,
        "not_found_error",
    )
    .await;
    assert_eq!(body["error"]["code"], "model_not_found");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn other_paths_keep_their_own_error_shape() {
    let upstream = Upstream::silent().await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let mut reply = proxy.client.get("/v1/nope").await;
    let body = reply.json().await;
    assert!(
        reply.status == 404 && body["type"].is_null() && reply.header("request-id").is_none(),
        "{body}"
    );
}

#[tokio::test]
async fn overload_is_529_for_messages_and_503_elsewhere() {
    for (dialect, status) in [(Dialect::Messages, 529), (Dialect::Chat, 503)] {
        for upstream_status in [503, 529] {
            let _case = Case::new(format!("{dialect:?}, {upstream_status}"));
            let refusal =
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
            let upstream = Upstream::always(whole(upstream_status, refusal.to_string())).await;
            let proxy = Setup::new()
                .over(WireId::Anthropic, &upstream)
                .section("models.m", "retries = 0")
                .start()
                .await;
            for stream in [true, false] {
                let mut reply = proxy.client.ask(&Request::chat(dialect, "m", stream)).await;
                let body = reply.json().await;
                assert_eq!(
                    (reply.status, &body["error"]["code"]),
                    (status, &json!("overloaded")),
                    "{body}"
                );
                assert!(reply.header("retry-after").is_some());
                assert!(
                    dialect != Dialect::Messages || body["error"]["type"] == "overloaded_error",
                    "{body}"
                );
            }
        }
    }
}

#[tokio::test]
async fn anthropic_rate_limit_fields_are_sent_and_a_refusal_names_its_limit() {
    let _clock = VirtualClock::start();
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::Gemini, Pace::Flat)).await;
    let setup = Setup::new()
        .over(WireId::Gemini, &upstream)
        .section("limits", "global = { requests_per_minute = 2, burst = 2 }");
    let proxy = setup.start().await;
    let request = Request::chat(Dialect::Messages, "m", true);
    for left in ["1", "0"] {
        let mut reply = proxy.client.ask(&request).await;
        assert!(reply.received().await.is_success());
        let field = |name: &str| reply.header(&format!("anthropic-ratelimit-requests-{name}"));
        assert_eq!(
            (field("limit"), field("remaining")),
            (Some("2"), Some(left))
        );
        assert!(field("reset").is_some_and(|it| it.ends_with('Z') && it.contains('T')));
        assert!(
            reply.header("x-ratelimit-limit-requests").is_none()
                && reply.header("ratelimit").is_some()
        );
    }
    let (reply, body) = refused(&proxy.client, &request, 429, "rate_limit_error").await;
    assert_eq!(
        (&body["error"]["limit"], &body["error"]["code"]),
        (&json!("global"), &json!("rate_limited"))
    );
    assert!(
        reply.header("retry-after").is_some()
            && reply.header("anthropic-ratelimit-requests-remaining") == Some("0")
    );
    refused(&proxy.client, &prompt("m"), 429, "rate_limit_error").await;
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn anthropic_headers_are_forwarded_to_the_anthropic_wire_only() {
    for wire in [WireId::Anthropic, WireId::OpenaiChat, WireId::Gemini] {
        let _case = Case::new(format!("{wire:?}"));
        let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let request = Request::chat(Dialect::Messages, "m", true).at("/v1/messages?beta=true");
        let request = request
            .header("anthropic-version", "2026-10-21")
            .header("anthropic-beta", "a,b")
            .header("openai-beta", "c");
        assert!(
            proxy
                .client
                .ask(&request)
                .await
                .received()
                .await
                .is_success()
        );
        let call = upstream.call(0);
        let own = wire == WireId::Anthropic;
        assert_eq!(
            call.header("anthropic-version"),
            own.then_some("2026-10-21")
        );
        assert_eq!(call.header("anthropic-beta"), own.then_some("a,b"));
        assert_eq!(call.header("openai-beta"), None);
        assert!(!call.line.contains("beta=true"), "{}", call.line);
    }
}

/// Answers a token count in the format of the called path.
fn answer_count(call: &Call, _: usize) -> Vec<Step> {
    match &call.line {
        line if line.contains("/messages/count_tokens ") => whole(200, r#"{"input_tokens":2095}"#),
        line if line.contains(":countTokens ") => whole(200, r#"{"totalTokens":31}"#),
        line => panic!("{line}"),
    }
}

#[tokio::test]
async fn tokens_are_counted_by_the_target_where_possible() {
    for (wire, expected) in [
        (WireId::Anthropic, json!({"input_tokens": 2095})),
        (WireId::Gemini, json!({"input_tokens": 31})),
        (
            WireId::OpenaiChat,
            json!({"input_tokens": 3, "sluicegate": {"estimated": true}}),
        ),
    ] {
        let _case = Case::new(format!("{wire:?}"));
        let upstream = Upstream::start(answer_count).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let request = prompt("m")
            .set("x", json!([1.5]))
            .header("anthropic-beta", "token-counting-2024-11-01");
        let mut reply = proxy.client.ask(&request).await;
        assert_eq!((reply.status, reply.json().await), (200, expected));
        assert!(
            reply.header("x-stream-id").is_none() && reply.header("request-id").is_some(),
            "it is not a generation"
        );
        match wire {
            WireId::Anthropic => {
                let call = upstream.call(0);
                let body = json!({"model": "m-up", "messages": [{"role": "user", "content": "12345678"}], "system": "1234", "x": [1.5]});
                assert_eq!(call.json(), body, "the body is sent unchanged");
                assert_eq!(
                    (call.header("x-api-key"), call.header("anthropic-beta")),
                    (Some("upstream-secret"), Some("token-counting-2024-11-01"))
                );
                assert_eq!(call.header("anthropic-version"), Some("2023-06-01"));
            }
            WireId::Gemini => {
                let request = &upstream.call(0).json()["generateContentRequest"];
                assert_eq!(
                    (
                        &request["model"],
                        &request["contents"][0]["parts"][0]["text"]
                    ),
                    (&json!("models/m-up"), &json!("12345678"))
                );
            }
            _ => assert_eq!(upstream.count(), 0),
        }
        proxy.at_rest().await;
    }
}

#[tokio::test]
async fn a_target_without_a_token_count_is_estimated() {
    for status in [404, 405, 501] {
        let upstream = Upstream::always(whole(status, "no such path")).await;
        let proxy = Proxy::over(WireId::Anthropic, &upstream).await;
        let mut reply = proxy.client.ask(&prompt("m")).await;
        assert_eq!(
            (reply.status, reply.json().await),
            (
                200,
                json!({"input_tokens": 3, "sluicegate": {"estimated": true}})
            )
        );
        assert_eq!(upstream.count(), 1);
    }
}

#[tokio::test]
async fn a_failed_token_count_tries_the_next_target_or_reports_the_error() {
    let clock = VirtualClock::start();
    let broken = Upstream::always(whole(
        500,
        encode::refusal(WireId::Anthropic, 500, "not now").to_string(),
    ))
    .await;
    let strict = Upstream::always(whole(
        400,
        encode::refusal(WireId::Anthropic, 400, "not like this").to_string(),
    ))
    .await;
    let (silent, good) = (
        Upstream::silent().await,
        Upstream::start(answer_count).await,
    );
    let setup = Setup::new()
        .provider("broken", WireId::Anthropic, broken.addr)
        .provider("strict", WireId::Anthropic, strict.addr);
    let setup = setup
        .provider("silent", WireId::Anthropic, silent.addr)
        .section("providers.silent", "timeouts = { headers = \"2s\" }");
    let setup = setup
        .provider("good", WireId::Anthropic, good.addr)
        .model("next", "[\"broken/a\", \"silent/b\", \"good/c\"]");
    let proxy = setup
        .model("strict", "[\"strict/a\", \"good/c\"]")
        .model("broken", "[\"broken/a\"]")
        .model("silent", "[\"silent/a\"]")
        .start()
        .await;
    let count = async |model: &str| {
        let mut reply = proxy.client.ask(&prompt(model)).await;
        (reply.status, reply.json().await)
    };
    let (status, body) = clock
        .takes_at_most(Duration::from_secs(5), "a count", count("next"))
        .await;
    assert_eq!(
        (status, &body["input_tokens"]),
        (200, &json!(2095)),
        "{body}"
    );
    assert_eq!(good.count(), 1);
    let (status, body) = count("strict").await;
    assert_eq!(
        (status, &body["error"]["message"]),
        (400, &json!("not like this")),
        "{body}"
    );
    assert_eq!(
        good.count(),
        1,
        "an invalid request is not retried elsewhere"
    );
    let (status, body) = count("broken").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (502, &json!("upstream_error")),
        "{body}"
    );
    let (status, body) = clock
        .takes_at_most(Duration::from_secs(5), "a timeout", count("silent"))
        .await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (504, &json!("timeout_error")),
        "{body}"
    );
    proxy.at_rest().await;
}

#[tokio::test]
async fn models_have_the_requested_shape() {
    let upstream = Upstream::silent().await;
    let setup = Setup::new()
        .over(WireId::Gemini, &upstream)
        .model("a", "[\"up/x\"]")
        .model("\"b/c\"", "[\"up/y\"]");
    let proxy = setup.start().await;
    let get = async |path: &str, version: bool| {
        let request = Request::new("GET", path);
        let request = if version {
            request.header("anthropic-version", "2023-06-01")
        } else {
            request
        };
        let mut reply = proxy.client.ask(&request).await;
        assert_eq!(
            (reply.status, reply.header("request-id").is_some()),
            (200, version)
        );
        reply.json().await
    };
    let list = get("/v1/models?limit=1000", true).await;
    let ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["a", "b/c", "m"]);
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(false), &json!("a"), &json!("m"))
    );
    let first = &list["data"][0];
    assert_eq!(
        (&first["type"], &first["display_name"]),
        (&json!("model"), &json!("a"))
    );
    assert!(
        first["created_at"].as_str().unwrap().ends_with('Z'),
        "{first}"
    );
    let page = get("/v1/models?limit=1&after_id=a", true).await;
    assert_eq!(
        (&page["data"][0]["id"], &page["has_more"]),
        (&json!("b/c"), &json!(true))
    );
    assert_eq!(get("/v1/models/b/c", true).await["id"], "b/c");
    assert_eq!(get("/v1/models", false).await["object"], "list");
    let unknown = Request::new("GET", "/v1/models/nope").header("anthropic-version", "2023-06-01");
    refused(&proxy.client, &unknown, 404, "not_found_error").await;
}

#[tokio::test]
async fn a_stream_of_several_choices_is_followed_as_its_first() {
    let chunk = |choice: u16, text: &str| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": choice, "delta": {"content": text}, "finish_reason": null}]});
        format!("data: {chunk}\n\n")
    };
    let finish = |choice: u16| {
        format!(
            "data: {}\n\n",
            json!({"id": "c", "choices": [{"index": choice, "delta": {}, "finish_reason": "stop"}]})
        )
    };
    let body = chunk(0, "one ")
        + &chunk(1, "two ")
        + &chunk(0, "three")
        + &finish(1)
        + &finish(0)
        + "data: [DONE]\n\n";
    let upstream = Upstream::always(vec![
        Step::Head(encode::head(WireId::OpenaiChat)),
        Step::Write(body.into()),
        Step::End,
    ])
    .await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let mut reply = proxy
        .client
        .ask(&Request::chat(Dialect::Events, "m", true).set("n", 2.into()))
        .await;
    let id = reply.stream_id();
    reply.events().await;
    let received = proxy
        .client
        .follow(Dialect::Messages, &id)
        .await
        .received()
        .await;
    assert!(received.is_success(), "{received:?}");
    assert_eq!((received.text(), received.choices.len()), ("one three", 1));
}

#[tokio::test]
async fn a_recording_can_be_requested_as_a_whole_answer() {
    let demo = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("demo");
    let section = format!(
        "wire = \"replay\"\ndir = {:?}\npace = \"0s\"",
        demo.display().to_string()
    );
    let proxy = Setup::new()
        .section("providers.demo", &section)
        .model("m", "[\"demo/tour.rec\"]")
        .start()
        .await;
    for dialect in [Dialect::Chat, Dialect::Messages, Dialect::Events] {
        let streamed = proxy
            .client
            .ask(&Request::chat(dialect, "m", true))
            .await
            .received()
            .await;
        let mut reply = proxy.client.ask(&Request::chat(dialect, "m", false)).await;
        let whole = crate::rig::Received::from_body(dialect, &reply.json().await);
        assert_eq!(
            (whole.text(), whole.first().reasoning),
            (streamed.text(), streamed.first().reasoning),
            "{dialect:?}"
        );
        assert!(whole.is_success() && whole.text().len() > 500, "{whole:?}");
    }
}
