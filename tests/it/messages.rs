//! What Anthropic's clients find beside the stream itself: errors in their shape on every path of
//! theirs, their header fields, the count of tokens, and the models.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::upstream::{Call, Step, json as whole};
use crate::rig::{
    Ask, Client, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Upstream, Virtual, WireId, say,
};

const COUNT: &str = "/v1/messages/count_tokens";

/// The head, and the body, which has the shape of an error of Anthropic's.
async fn refused(client: &Client, ask: &Ask, status: u16, kind: &str) -> (Reply, Value) {
    let mut reply = client.ask(ask).await;
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

/// A prompt to be counted.
fn counted(model: &str) -> Ask {
    let messages = json!([{"role": "user", "content": "12345678"}]);
    Ask::new("POST", COUNT).json(&json!({"model": model, "messages": messages, "system": "1234"}))
}

#[tokio::test]
async fn every_path_of_theirs_refuses_in_their_shape() {
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
    let chat = || Ask::chat(Speech::Messages, "m", true);
    for path in ["/v1/messages", "/messages", "//v1//messages/", COUNT] {
        refused(client, &counted("m").at(path), 401, "authentication_error").await;
        let (reply, _) = refused(&ann, &Ask::new("PUT", path), 405, "invalid_request_error").await;
        assert_eq!(reply.header("allow"), Some("POST"));
        refused(
            &ann,
            &Ask::new("POST", path).raw("text/plain", "{}"),
            415,
            "invalid_request_error",
        )
        .await;
        refused(
            &ann,
            &counted("m").at(path).set("system", "x".repeat(2000).into()),
            413,
            "request_too_large",
        )
        .await;
        refused(
            &ann,
            &counted("m")
                .at(path)
                .header("origin", "https://evil.example"),
            403,
            "permission_error",
        )
        .await;
        refused(
            &ann,
            &counted("m").at(path).header("host", "evil.example"),
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
        refused(&ann, &Ask::new("GET", path), 404, "not_found_error").await;
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
async fn other_paths_keep_their_own_shape() {
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
async fn overload_is_529_here_and_503_elsewhere() {
    for (speech, status) in [(Speech::Messages, 529), (Speech::Chat, 503)] {
        for upstream_status in [503, 529] {
            let _scene = Scene::of(format!("{speech:?}, {upstream_status}"));
            let refusal =
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
            let upstream = Upstream::always(whole(upstream_status, refusal.to_string())).await;
            let proxy = Setup::new()
                .over(WireId::Anthropic, &upstream)
                .section("models.m", "retries = 0")
                .start()
                .await;
            for stream in [true, false] {
                let mut reply = proxy.client.ask(&Ask::chat(speech, "m", stream)).await;
                let body = reply.json().await;
                assert_eq!(
                    (reply.status, &body["error"]["code"]),
                    (status, &json!("overloaded")),
                    "{body}"
                );
                assert!(reply.header("retry-after").is_some());
                assert!(
                    speech != Speech::Messages || body["error"]["type"] == "overloaded_error",
                    "{body}"
                );
            }
        }
    }
}

#[tokio::test]
async fn their_rate_fields_are_told_and_a_refusal_names_its_limit() {
    let _clock = Virtual::start();
    let upstream = Upstream::start(Say::tokens(1).script(WireId::Gemini, Pace::Flat)).await;
    let setup = Setup::new()
        .over(WireId::Gemini, &upstream)
        .section("limits", "global = { requests_per_minute = 2, burst = 2 }");
    let proxy = setup.start().await;
    let ask = Ask::chat(Speech::Messages, "m", true);
    for left in ["1", "0"] {
        let mut reply = proxy.client.ask(&ask).await;
        assert!(reply.told().await.is_success());
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
    let (reply, body) = refused(&proxy.client, &ask, 429, "rate_limit_error").await;
    assert_eq!(
        (&body["error"]["limit"], &body["error"]["code"]),
        (&json!("global"), &json!("rate_limited"))
    );
    assert!(
        reply.header("retry-after").is_some()
            && reply.header("anthropic-ratelimit-requests-remaining") == Some("0")
    );
    refused(&proxy.client, &counted("m"), 429, "rate_limit_error").await;
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn their_headers_go_along_to_their_own_wire_and_to_no_other() {
    for wire in [WireId::Anthropic, WireId::OpenaiChat, WireId::Gemini] {
        let _scene = Scene::of(format!("{wire:?}"));
        let upstream = Upstream::start(Say::tokens(1).script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let ask = Ask::chat(Speech::Messages, "m", true).at("/v1/messages?beta=true");
        let ask = ask
            .header("anthropic-version", "2026-10-21")
            .header("anthropic-beta", "a,b")
            .header("openai-beta", "c");
        assert!(proxy.client.ask(&ask).await.told().await.is_success());
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

/// Answers a count as its wire does.
fn counting(call: &Call, _: usize) -> Vec<Step> {
    match &call.line {
        line if line.contains("/messages/count_tokens ") => whole(200, r#"{"input_tokens":2095}"#),
        line if line.contains(":countTokens ") => whole(200, r#"{"totalTokens":31}"#),
        line => panic!("{line}"),
    }
}

#[tokio::test]
async fn tokens_are_counted_by_the_target_where_it_can() {
    for (wire, expected) in [
        (WireId::Anthropic, json!({"input_tokens": 2095})),
        (WireId::Gemini, json!({"input_tokens": 31})),
        (
            WireId::OpenaiChat,
            json!({"input_tokens": 3, "sluicegate": {"estimated": true}}),
        ),
    ] {
        let _scene = Scene::of(format!("{wire:?}"));
        let upstream = Upstream::start(counting).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let ask = counted("m")
            .set("x", json!([1.5]))
            .header("anthropic-beta", "token-counting-2024-11-01");
        let mut reply = proxy.client.ask(&ask).await;
        assert_eq!((reply.status, reply.json().await), (200, expected));
        assert!(
            reply.header("x-stream-id").is_none() && reply.header("request-id").is_some(),
            "it is no generation"
        );
        match wire {
            WireId::Anthropic => {
                let call = upstream.call(0);
                let body = json!({"model": "m-up", "messages": [{"role": "user", "content": "12345678"}], "system": "1234", "x": [1.5]});
                assert_eq!(call.json(), body, "the body goes out as it came");
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
async fn a_target_without_a_count_of_its_own_is_estimated() {
    for status in [404, 405, 501] {
        let upstream = Upstream::always(whole(status, "no such path")).await;
        let proxy = Proxy::over(WireId::Anthropic, &upstream).await;
        let mut reply = proxy.client.ask(&counted("m")).await;
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
async fn a_count_that_fails_goes_on_to_the_next_target_or_says_why() {
    let clock = Virtual::start();
    let broken = Upstream::always(whole(
        500,
        say::refusal(WireId::Anthropic, 500, "not now").to_string(),
    ))
    .await;
    let strict = Upstream::always(whole(
        400,
        say::refusal(WireId::Anthropic, 400, "not like this").to_string(),
    ))
    .await;
    let (silent, good) = (Upstream::silent().await, Upstream::start(counting).await);
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
    let asked = async |model: &str| {
        let mut reply = proxy.client.ask(&counted(model)).await;
        (reply.status, reply.json().await)
    };
    let (status, body) = clock
        .takes_at_most(Duration::from_secs(5), "a count", asked("next"))
        .await;
    assert_eq!(
        (status, &body["input_tokens"]),
        (200, &json!(2095)),
        "{body}"
    );
    assert_eq!(good.count(), 1);
    let (status, body) = asked("strict").await;
    assert_eq!(
        (status, &body["error"]["message"]),
        (400, &json!("not like this")),
        "{body}"
    );
    assert_eq!(
        good.count(),
        1,
        "what is wrong with the request is wrong with it everywhere"
    );
    let (status, body) = asked("broken").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (502, &json!("upstream_error")),
        "{body}"
    );
    let (status, body) = clock
        .takes_at_most(Duration::from_secs(5), "a timeout", asked("silent"))
        .await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (504, &json!("timeout_error")),
        "{body}"
    );
    proxy.at_rest().await;
}

#[tokio::test]
async fn models_have_the_shape_that_is_asked_for() {
    let upstream = Upstream::silent().await;
    let setup = Setup::new()
        .over(WireId::Gemini, &upstream)
        .model("a", "[\"up/x\"]")
        .model("\"b/c\"", "[\"up/y\"]");
    let proxy = setup.start().await;
    let get = async |path: &str, version: bool| {
        let ask = Ask::new("GET", path);
        let ask = if version {
            ask.header("anthropic-version", "2023-06-01")
        } else {
            ask
        };
        let mut reply = proxy.client.ask(&ask).await;
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
    let unknown = Ask::new("GET", "/v1/models/nope").header("anthropic-version", "2023-06-01");
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
        Step::Head(say::head(WireId::OpenaiChat)),
        Step::Write(body.into()),
        Step::End,
    ])
    .await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let mut reply = proxy
        .client
        .ask(&Ask::chat(Speech::Events, "m", true).set("n", 2.into()))
        .await;
    let id = reply.stream_id();
    reply.events().await;
    let told = proxy
        .client
        .follow(Speech::Messages, &id)
        .await
        .told()
        .await;
    assert!(told.is_success(), "{told:?}");
    assert_eq!((told.text(), told.choices.len()), ("one three", 1));
}

#[tokio::test]
async fn a_recording_is_a_whole_answer_to_who_asks_for_one() {
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
    for speech in [Speech::Chat, Speech::Messages, Speech::Events] {
        let streamed = proxy
            .client
            .ask(&Ask::chat(speech, "m", true))
            .await
            .told()
            .await;
        let mut reply = proxy.client.ask(&Ask::chat(speech, "m", false)).await;
        let whole = crate::rig::Told::of_whole(speech, &reply.json().await);
        assert_eq!(
            (whole.text(), whole.first().reasoning),
            (streamed.text(), streamed.first().reasoning),
            "{speech:?}"
        );
        assert!(whole.is_success() && whole.text().len() > 500, "{whole:?}");
    }
}
