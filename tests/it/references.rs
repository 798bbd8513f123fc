//! What a body may name: fields once, models that are allowed, and nothing in the provider's
//! account but for who may.

use serde_json::{Value, json};

use crate::rig::upstream::json as whole_json;
use crate::rig::{Ask, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Upstream, WireId, speeches};

const PLAIN: &str = "plain-0123456789abcdef";
const OTHER: &str = "other-0123456789abcdef";
const TRUSTED: &str = "trusted-0123456789abcdef";

async fn proxy(wire: WireId, upstream: &Upstream) -> Proxy {
    Setup::new()
        .over(wire, upstream)
        .section("auth", "mode = \"required\"")
        .section(
            "keys.plain",
            &format!("secret = \"{PLAIN}\"\nmodels = [\"m\"]"),
        )
        .section(
            "keys.trusted",
            &format!("secret = \"{TRUSTED}\"\nmodels = [\"m\"]\nprovider_objects = true"),
        )
        .start()
        .await
}

/// Status, code and field.
async fn said(mut reply: Reply) -> (u16, Value, Value) {
    let body: Value = serde_json::from_str(&reply.text().await).unwrap_or_default();
    (
        reply.status,
        body["error"]["code"].clone(),
        body["error"]["param"].clone(),
    )
}

/// Bodies of a dialect that refer to the provider's account, and where.
fn references(speech: Speech) -> Vec<(&'static str, Value, &'static str)> {
    let user = |part: Value| json!([{"role": "user", "content": [part]}]);
    let tools = |tool: Value| json!([tool]);
    match speech {
        Speech::Chat | Speech::Events => vec![
            (
                "previous_response_id",
                json!("resp_1"),
                "previous_response_id",
            ),
            ("container", json!("cntr_1"), "container"),
            (
                "cached_content",
                json!("cachedContents/1"),
                "cached_content",
            ),
            ("cachedContent", json!("cachedContents/1"), "cachedContent"),
            (
                "messages",
                user(json!({"type": "file", "file": {"file_id": "file-1"}})),
                "messages[0].content[0].file.file_id",
            ),
            (
                "tools",
                tools(json!({"type": "file_search", "vector_store_ids": ["vs_1"]})),
                "tools[0].vector_store_ids",
            ),
        ],
        Speech::Responses => vec![
            (
                "previous_response_id",
                json!("resp_of_the_providers_own"),
                "previous_response_id",
            ),
            ("conversation", json!({"id": "conv_1"}), "conversation"),
            ("prompt", json!({"id": "pmpt_1"}), "prompt"),
            (
                "input",
                json!([{"type": "item_reference", "id": "rs_1"}]),
                "input[0]",
            ),
            (
                "input",
                user(json!({"type": "input_file", "file_id": "file-1"})),
                "input[0].content[0].file_id",
            ),
            (
                "tools",
                tools(json!({"type": "file_search", "vector_store_ids": ["vs_1"]})),
                "tools[0].vector_store_ids",
            ),
            (
                "tools",
                tools(json!({"type": "code_interpreter", "container": "cntr_1"})),
                "tools[0].container",
            ),
            (
                "tools",
                tools(
                    json!({"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"]}}),
                ),
                "tools[0].container.file_ids",
            ),
        ],
        Speech::Messages => vec![
            ("container", json!("container_1"), "container"),
            (
                "messages",
                user(json!({"type": "image", "source": {"type": "file", "file_id": "file_1"}})),
                "messages[0].content[0].source.file_id",
            ),
            (
                "messages",
                user(json!({"type": "container_upload", "file_id": "file_1"})),
                "messages[0].content[0].file_id",
            ),
        ],
        Speech::Ui => vec![(
            "previous_response_id",
            json!("resp_1"),
            "previous_response_id",
        )],
    }
}

#[tokio::test]
async fn objects_in_the_providers_account_are_for_who_may_refer_to_them() {
    for speech in speeches() {
        let wire = speech.wire().unwrap_or(WireId::OpenaiChat);
        let foreign = if wire == WireId::Anthropic {
            WireId::OpenaiChat
        } else {
            WireId::Anthropic
        };
        let upstream = Upstream::start(Say::tokens(1).script(wire, Pace::Flat)).await;
        let elsewhere = Upstream::start(Say::tokens(1).script(foreign, Pace::Flat)).await;
        let (same, other) = (
            proxy(wire, &upstream).await,
            proxy(foreign, &elsewhere).await,
        );
        let (mut passed, mut refused) = (0, 0);
        for (field, value, path) in references(speech) {
            let _scene = Scene::of(format!("{speech:?} {path}"));
            let ask = Ask::chat(speech, "m", true).set(field, value.clone());
            let (status, code, param) = said(same.client.with_key(PLAIN).ask(&ask).await).await;
            if speech == Speech::Responses && field == "previous_response_id" {
                assert_eq!(
                    (status, code),
                    (404, json!("previous_response_not_found")),
                    "it could be one of ours"
                );
            } else if speech == Speech::Messages {
                assert_eq!(status, 403, "{code}");
            } else {
                assert_eq!(
                    (status, code, param),
                    (403, json!("field_not_allowed"), json!(path))
                );
            }
            assert_eq!(
                upstream.count(),
                passed,
                "nothing refused reaches the upstream"
            );
            let status = said(same.client.with_key(TRUSTED).ask(&ask).await).await.0;
            if speech == Speech::Ui {
                assert_eq!(status, 403, "it has no wire of its own");
            } else {
                assert_eq!(status, 200);
                passed += 1;
                assert_eq!(
                    upstream.call(passed - 1).json()[field],
                    value,
                    "it goes on as it came"
                );
            }
            let (status, ..) = said(other.client.with_key(TRUSTED).ask(&ask).await).await;
            assert_eq!(status, 403, "no other wire knows of it");
            refused += 1;
        }
        assert_eq!((elsewhere.count(), refused), (0, references(speech).len()));
    }
}

/// What a provider answers who has made a container and a file in it, and what names them
/// afterwards.
fn made(speech: Speech) -> (Value, Vec<(&'static str, Value)>) {
    if speech == Speech::Responses {
        let cited = json!({"type": "container_file_citation", "container_id": "cntr_1", "file_id": "cfile_1"});
        let output = json!([
            {"id": "ci_1", "type": "code_interpreter_call", "status": "completed", "container_id": "cntr_1", "code": "1"},
            {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "done", "annotations": [cited]}]},
        ]);
        let whole = json!({"id": "resp_1", "object": "response", "status": "completed", "model": "m-up", "output": output});
        let tool = json!([{"type": "code_interpreter", "container": "cntr_1"}]);
        let file =
            json!([{"role": "user", "content": [{"type": "input_file", "file_id": "cfile_1"}]}]);
        (whole, vec![("tools", tool), ("input", file)])
    } else {
        let output = json!({"type": "bash_code_execution_result", "content": [{"type": "bash_code_execution_output", "file_id": "file_1"}]});
        let content = json!([{"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_1", "content": output}]);
        let whole = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m-up", "content": content,
            "stop_reason": "end_turn", "container": {"id": "container_1"}, "usage": {"input_tokens": 1, "output_tokens": 1}});
        let file = json!([{"role": "user", "content": [{"type": "container_upload", "file_id": "file_1"}]}]);
        (
            whole,
            vec![
                ("container", json!("container_1")),
                ("container", json!({"id": "container_1"})),
                ("messages", file),
            ],
        )
    }
}

#[tokio::test]
async fn what_was_made_through_us_may_be_named_by_whom_it_was_told() {
    for speech in [Speech::Responses, Speech::Messages] {
        let (whole, named) = made(speech);
        let upstream = Upstream::always(whole_json(200, whole.to_string())).await;
        let wire = speech.wire().unwrap();
        let other = format!("secret = \"{OTHER}\"\nmodels = [\"m\"]");
        let plain = format!("secret = \"{PLAIN}\"\nmodels = [\"m\"]");
        let setup = Setup::new()
            .over(wire, &upstream)
            .section("auth", "mode = \"required\"");
        let proxy = setup
            .section("keys.plain", &plain)
            .section("keys.other", &other)
            .start()
            .await;
        let (mine, others) = (proxy.client.with_key(PLAIN), proxy.client.with_key(OTHER));
        let ask = |field: &'static str, value: &Value| {
            Ask::chat(speech, "m", false).set(field, value.clone())
        };
        for (field, value) in &named {
            assert_eq!(
                said(mine.ask(&ask(field, value)).await).await.0,
                403,
                "{field}: nobody has been told of it"
            );
        }
        assert_eq!(
            said(mine.ask(&Ask::chat(speech, "m", false)).await).await.0,
            200
        );
        for (field, value) in &named {
            let _scene = Scene::of(format!("{speech:?} {value}"));
            let before = upstream.count();
            assert_eq!(
                said(others.ask(&ask(field, value)).await).await.0,
                403,
                "it was told to somebody else"
            );
            assert_eq!(upstream.count(), before);
            assert_eq!(said(mine.ask(&ask(field, value)).await).await.0, 200);
            assert_eq!(
                upstream.call(before).json()[field],
                *value,
                "it goes on as it came"
            );
        }
    }
}

#[tokio::test]
async fn what_is_made_for_one_request_is_no_reference() {
    let upstream =
        Upstream::start(Say::tokens(1).script(WireId::OpenaiResponses, Pace::Flat)).await;
    let proxy = proxy(WireId::OpenaiResponses, &upstream).await;
    let tools = json!([{"type": "code_interpreter", "container": {"type": "auto"}}]);
    let ask = Ask::chat(Speech::Responses, "m", true)
        .set("tools", tools)
        .set("conversation", Value::Null);
    assert_eq!(
        said(proxy.client.with_key(PLAIN).ask(&ask).await).await.0,
        200
    );
}

#[tokio::test]
async fn a_field_that_comes_twice_reaches_nobody() {
    for speech in speeches() {
        let wire = speech.wire().unwrap_or(WireId::OpenaiChat);
        let upstream = Upstream::start(Say::tokens(1).script(wire, Pace::Flat)).await;
        let proxy = proxy(wire, &upstream).await;
        let plain = Ask::chat(speech, "m", true);
        for twice in [
            r#""model":"other","#,
            r#""mod\u0065l":"other","#,
            r#""\u006d\u006f\u0064\u0065\u006c":"other","#,
            r#""stream":false,"#,
        ] {
            let _scene = Scene::of(format!("{speech:?} {twice}"));
            let bytes = String::from_utf8(plain.spell(proxy.running.addr())).unwrap();
            let body = bytes.split_once("\r\n\r\n").unwrap().1;
            for body in [
                body.replacen('{', &format!("{{{twice}"), 1),
                body.replacen("\"model\"", "\"mode\\u006c\"", 1).replacen(
                    '{',
                    &format!("{{{twice}"),
                    1,
                ),
            ] {
                let reply = proxy
                    .client
                    .with_key(PLAIN)
                    .ask(&plain.clone().raw("application/json", body))
                    .await;
                assert_eq!(said(reply).await.0, 400);
            }
        }
        assert_eq!(upstream.count(), 0);
    }
}

#[tokio::test]
async fn every_model_that_a_body_names_must_be_allowed() {
    for (speech, field, value) in [
        (Speech::Chat, "models", json!(["m", "dear"])),
        (Speech::Events, "models", json!(["dear"])),
        (
            Speech::Chat,
            "tools",
            json!([{"type": "advisor", "model": "dear"}]),
        ),
        (
            Speech::Responses,
            "tools",
            json!([{"type": "image_generation", "model": "dear"}]),
        ),
        (Speech::Messages, "fallbacks", json!([{"model": "dear"}])),
        (
            Speech::Messages,
            "tools",
            json!([{"type": "advisor_20260301", "name": "advisor", "model": "dear"}]),
        ),
    ] {
        let _scene = Scene::of(format!("{speech:?} {field}"));
        let wire = speech.wire().unwrap_or(WireId::OpenaiChat);
        let upstream = Upstream::start(Say::tokens(1).script(wire, Pace::Flat)).await;
        let proxy = proxy(wire, &upstream).await;
        let reply = proxy
            .client
            .with_key(PLAIN)
            .ask(&Ask::chat(speech, "m", true).set(field, value))
            .await;
        assert_eq!(said(reply).await.0, 403);
        assert_eq!(upstream.count(), 0);
    }
}
