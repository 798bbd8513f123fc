//! Fallback across wires: every target gets the same request in its own format.

use serde_json::json;

use super::*;

#[tokio::test]
async fn each_target_gets_a_request_built_from_the_clients_body() {
    let (first, second, third) = (
        refused(500, &[]),
        whole(
            500,
            encode::refusal(WireId::Anthropic, 500, "no").to_string(),
        ),
        answered(&[]),
    );
    let ups = [
        Upstream::always(first).await,
        Upstream::always(second).await,
        Upstream::always(third).await,
    ];
    let setup = Setup::new()
        .provider("a", WIRE, ups[0].addr)
        .provider("b", WireId::Anthropic, ups[1].addr)
        .provider("c", WIRE, ups[2].addr);
    let proxy = setup
        .model("m", "[\"a/m\", \"b/m\", \"c/m\"]")
        .section("models.m", "retries = 0")
        .start()
        .await;
    let body = r#"{ "messages" : [{"role":"user","content":"caf\u00e9 \ud83d\ude00"}],"stream":true, "x_odd":[1.0,1e2,{"b":1,"a":2}],
        "stream_options":{"include_usage":true},"model":"m","temperature":0.50}"#;
    let outcome = send(
        &proxy.client,
        &Request::chat(Dialect::Chat, "m", true).raw("application/json", body),
    )
    .await;
    assert_eq!(outcome.received.text(), GOOD_TEXT, "{outcome:?}");
    for n in [0, 2] {
        assert_eq!(
            std::str::from_utf8(&ups[n].call(0).body).unwrap(),
            body,
            "byte for byte"
        );
    }
    let translated = ups[1].call(0).json();
    assert_eq!(
        translated["messages"],
        json!([{"role": "user", "content": [{"type": "text", "text": "caf\u{e9} \u{1F600}"}]}])
    );
    assert!(
        translated.get("x_odd").is_none() && translated.get("stream_options").is_none(),
        "{translated}"
    );
}

/// A chat with a picture given by a link.
fn with_link(stream: bool) -> Request {
    let parts = json!([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]);
    Request::chat(Dialect::Chat, "m", stream)
        .set("messages", json!([{"role": "user", "content": parts}]))
}

#[tokio::test]
async fn a_target_that_does_not_support_a_request_is_skipped_if_others_do() {
    let (lama, chat) = (
        Upstream::start(Answer::tokens(3).script(WireId::Ollama, Pace::Flat)).await,
        good().await,
    );
    let setup = Setup::new()
        .provider("lama", WireId::Ollama, lama.addr)
        .provider("chat", WIRE, chat.addr);
    let proxy = setup
        .clone()
        .model("m", "[\"lama/m\", \"chat/m\"]")
        .start()
        .await;
    let outcome = send(&proxy.client, &with_link(true)).await;
    assert_eq!(
        (outcome.received.text(), &*outcome.route),
        (GOOD_TEXT, "lama/m;skipped=unfit, chat/m")
    );
    assert_eq!((lama.count(), chat.count()), (0, 1));
    let proxy = setup.model("m", "[\"lama/m\"]").start().await;
    for _ in 0..10 {
        let outcome = super::send(&proxy.client, &with_link(true)).await;
        assert_eq!(
            (outcome.status, outcome.error["code"].as_str()),
            (400, Some("invalid_request")),
            "{outcome:?}"
        );
        assert_eq!(outcome.route, "lama/m;skipped=unfit");
    }
}
