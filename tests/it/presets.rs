//! Presets at the upstream: path, query, credential and model as the provider receives them.

use serde_json::json;

use crate::rig::{Answer, Dialect, Pace, Request, Setup, Upstream, WireId};

/// Returns the request that a provider configured by `lines` receives; `{at}` stands for the
/// upstream's address.
async fn upstream_request(wire: WireId, lines: &str) -> crate::rig::upstream::Call {
    let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Flat)).await;
    let lines = lines.replace("{at}", &format!("http://{}", upstream.addr));
    let proxy = Setup::new()
        .section("providers.up", &lines)
        .model("m", "[\"up/gpt-5\"]")
        .start()
        .await;
    let received = proxy
        .client
        .ask(&Request::chat(Dialect::Chat, "m", true))
        .await
        .received()
        .await;
    assert_eq!(received.text(), "tok0 tok1 ", "{lines}");
    upstream.call(0)
}

#[tokio::test]
async fn azure_by_date_has_the_deployment_in_the_path() {
    let lines = "preset = \"azure\"\nbase_url = \"{at}\"\napi_key = \"k\"\napi_version = \"2024-10-21\"\ndeployments = { gpt-5 = \"prod 5\" }";
    let call = upstream_request(WireId::OpenaiChat, lines).await;
    assert_eq!(
        call.line,
        "POST /openai/deployments/prod%205/chat/completions?api-version=2024-10-21 HTTP/1.1"
    );
    assert_eq!(
        (call.header("api-key"), call.header("authorization")),
        (Some("k"), None)
    );
    assert_eq!(
        call.json()["stream_options"],
        json!({"include_usage": true})
    );
}

#[tokio::test]
async fn azure_with_an_old_api_version_gets_no_usage_option() {
    let lines =
        "preset = \"azure\"\nbase_url = \"{at}\"\napi_key = \"k\"\napi_version = \"2024-02-01\"";
    assert_eq!(
        upstream_request(WireId::OpenaiChat, lines)
            .await
            .json()
            .get("stream_options"),
        None
    );
}

#[tokio::test]
async fn azure_v1_has_the_deployment_in_the_body() {
    let lines = "preset = \"azure\"\nbase_url = \"{at}\"\nentra_token = \"jwt\"\napi_version = \"preview\"\ndeployments = { gpt-5 = \"prod-5\" }";
    let call = upstream_request(WireId::OpenaiChat, lines).await;
    assert_eq!(
        call.line,
        "POST /openai/v1/chat/completions?api-version=preview HTTP/1.1"
    );
    assert_eq!(
        (call.header("authorization"), &call.json()["model"]),
        (Some("Bearer jwt"), &json!("prod-5"))
    );
}

#[tokio::test]
async fn vertex_takes_a_key_in_express_mode() {
    let call = upstream_request(
        WireId::Gemini,
        "preset = \"vertex\"\nbase_url = \"{at}\"\napi_key = \"k\"",
    )
    .await;
    assert_eq!(
        call.line,
        "POST /v1/publishers/google/models/gpt-5:streamGenerateContent?alt=sse HTTP/1.1"
    );
    assert_eq!(call.header("x-goog-api-key"), Some("k"));
}

#[tokio::test]
async fn mistral_gets_no_stream_options_even_from_a_client_that_sends_them() {
    let upstream = Upstream::start(Answer::tokens(2).script(WireId::OpenaiChat, Pace::Flat)).await;
    let lines = format!(
        "preset = \"mistral\"\nbase_url = \"http://{}\"\napi_key = \"k\"",
        upstream.addr
    );
    let proxy = Setup::new()
        .section("providers.up", &lines)
        .model("m", "[\"up/mistral-small\"]")
        .start()
        .await;
    let body = json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true}, "random_seed": 7,
        "messages": [{"role": "user", "content": "hi"}],
    });
    let received = proxy
        .client
        .ask(&Request::chat(Dialect::Chat, "m", true).json(&body))
        .await
        .received()
        .await;
    assert!(!received.is_failure(), "{received:?}");
    let sent = upstream.call(0).json();
    assert_eq!(
        (
            sent.get("stream_options"),
            &sent["random_seed"],
            &sent["model"]
        ),
        (None, &json!(7), &json!("mistral-small"))
    );
}
