//! The refusals of a target teach: an optional field that it does not support is left out from then
//! on, until the configuration is reloaded.

use serde_json::{Value, json};

use crate::rig::upstream::json as whole_json;
use crate::rig::{Answer, Dialect, Pace, Proxy, Request, Setup, Upstream, WireId, wires};

const WIRE: WireId = WireId::OpenaiResponses;

/// Starts an upstream that rejects requests for reasoning summaries. OpenAI summarizes reasoning
/// only for verified organizations, and compatible servers do not know the field.
async fn unverified() -> Upstream {
    let refusal = json!({"error": {"message": "Your organization must be verified to generate reasoning summaries.",
        "type": "invalid_request_error", "param": "reasoning.summary", "code": "unsupported_value"}});
    let answer = Answer::tokens(2);
    Upstream::start(
        move |call, _| match call.json()["reasoning"]["summary"].as_str() {
            Some(_) => whole_json(400, refusal.to_string()),
            None => answer.steps(WIRE, Pace::Flat),
        },
    )
    .await
}

/// Asks a model to reason. Returns how many requests the upstream received for it.
async fn requests_for(proxy: &Proxy, upstream: &Upstream, model: &str) -> usize {
    let before = upstream.count();
    let thinking = Request::chat(Dialect::Chat, model, true).set("reasoning_effort", "low".into());
    let received = proxy.client.ask(&thinking).await.received().await;
    assert!(
        received.is_success() && received.text() == "tok0 tok1 ",
        "{received:?}"
    );
    upstream.count() - before
}

fn reasoning(upstream: &Upstream, call: usize) -> Value {
    upstream.call(call).json()["reasoning"].clone()
}

#[tokio::test]
async fn a_target_that_rejects_summaries_is_asked_without_them_from_then_on() {
    if !wires().contains(&WIRE) {
        return;
    }
    let upstream = unverified().await;
    let proxy = Proxy::over(WIRE, &upstream).await;
    assert_eq!(requests_for(&proxy, &upstream, "m").await, 2);
    assert_eq!(requests_for(&proxy, &upstream, "m").await, 1);
    assert_eq!(
        (reasoning(&upstream, 0), reasoning(&upstream, 1)),
        (
            json!({"effort": "low", "summary": "auto"}),
            json!({"effort": "low"})
        )
    );
    // An option that the client sets itself in the wire's own format is not removed.
    let own = Request::chat(Dialect::Responses, "m", true)
        .set("reasoning", json!({"effort": "low", "summary": "auto"}));
    let reply = proxy.client.ask(&own).await;
    assert_eq!((reply.status, upstream.count()), (400, 4));
}

#[tokio::test]
async fn a_lesson_is_of_one_target_whatever_name_it_is_asked_by() {
    if !wires().contains(&WIRE) {
        return;
    }
    let upstream = unverified().await;
    let proxy = Setup::new()
        .over(WIRE, &upstream)
        .section("providers.up", "direct = true")
        .model("alias", "[\"up/m-up\"]")
        .model("other", "[\"up/m-other\"]")
        .start()
        .await;
    for (model, asked) in [
        ("m", 2),
        ("alias", 1),
        ("up/m-up", 1),
        ("other", 2),
        ("up/m-named", 2),
        ("up/m-named", 1),
    ] {
        assert_eq!(
            requests_for(&proxy, &upstream, model).await,
            asked,
            "{model}"
        );
    }
}

#[tokio::test]
async fn a_reload_forgets_what_was_learned() {
    if !wires().contains(&WIRE) {
        return;
    }
    let upstream = unverified().await;
    let setup = Setup::new()
        .over(WIRE, &upstream)
        .section("providers.up", "direct = true");
    let proxy = setup.clone().start().await;
    for (model, asked) in [("m", 2), ("m", 1), ("up/m-named", 2), ("up/m-named", 1)] {
        assert_eq!(
            requests_for(&proxy, &upstream, model).await,
            asked,
            "{model}"
        );
    }
    // The provider is unchanged: its targets keep their health, and only the lessons are forgotten.
    let same_provider = setup.section("models.m", "retries = 0");
    proxy.running.reload(same_provider.config()).unwrap();
    for (model, asked) in [("m", 2), ("m", 1), ("up/m-named", 2), ("up/m-named", 1)] {
        assert_eq!(
            requests_for(&proxy, &upstream, model).await,
            asked,
            "{model} after the reload"
        );
    }
}
