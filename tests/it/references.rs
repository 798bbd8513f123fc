//! Names in a request body: duplicate fields, allowed models, and objects in the provider's
//! account.

use serde_json::{Value, json};

use crate::rig::upstream::json as whole_json;
use crate::rig::{
    Answer, Case, Dialect, Pace, Proxy, Reply, Request, Setup, Upstream, WireId, dialects,
};

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

/// Returns status, code and parameter of a refusal.
async fn refusal(mut reply: Reply) -> (u16, Value, Value) {
    let body: Value = serde_json::from_str(&reply.text().await).unwrap_or_default();
    (
        reply.status,
        body["error"]["code"].clone(),
        body["error"]["param"].clone(),
    )
}

/// Returns fields of a dialect that refer to objects in the provider's account, and the expected
/// parameter path.
fn references(dialect: Dialect) -> Vec<(&'static str, Value, &'static str)> {
    let user = |part: Value| json!([{"role": "user", "content": [part]}]);
    let tools = |tool: Value| json!([tool]);
    match dialect {
        Dialect::Chat | Dialect::Events => vec![
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
        Dialect::Responses => vec![
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
        Dialect::Messages => vec![
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
        Dialect::Ui => vec![(
            "previous_response_id",
            json!("resp_1"),
            "previous_response_id",
        )],
    }
}

#[tokio::test]
async fn objects_in_the_providers_account_need_permission() {
    for dialect in dialects() {
        let wire = dialect.wire().unwrap_or(WireId::OpenaiChat);
        let foreign = if wire == WireId::Anthropic {
            WireId::OpenaiChat
        } else {
            WireId::Anthropic
        };
        let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Flat)).await;
        let elsewhere = Upstream::start(Answer::tokens(1).script(foreign, Pace::Flat)).await;
        let (same, other) = (
            proxy(wire, &upstream).await,
            proxy(foreign, &elsewhere).await,
        );
        let (mut passed, mut refused) = (0, 0);
        for (field, value, path) in references(dialect) {
            let _case = Case::new(format!("{dialect:?} {path}"));
            let request = Request::chat(dialect, "m", true).set(field, value.clone());
            let (status, code, param) =
                refusal(same.client.with_key(PLAIN).ask(&request).await).await;
            if dialect == Dialect::Responses && field == "previous_response_id" {
                assert_eq!(
                    (status, code),
                    (404, json!("previous_response_not_found")),
                    "the id could be one of ours"
                );
            } else if dialect == Dialect::Messages {
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
                "no refused request reaches the upstream"
            );
            let status = refusal(same.client.with_key(TRUSTED).ask(&request).await)
                .await
                .0;
            if dialect == Dialect::Ui {
                assert_eq!(status, 403, "the dialect has no wire of its own");
            } else {
                assert_eq!(status, 200);
                passed += 1;
                assert_eq!(
                    upstream.call(passed - 1).json()[field],
                    value,
                    "the field is sent unchanged"
                );
            }
            let (status, ..) = refusal(other.client.with_key(TRUSTED).ask(&request).await).await;
            assert_eq!(status, 403, "other wires cannot use the reference");
            refused += 1;
        }
        assert_eq!((elsewhere.count(), refused), (0, references(dialect).len()));
    }
}

/// Returns an answer of a provider that has created a container and a file in it, and fields that
/// refer to them.
fn provider_objects(dialect: Dialect) -> (Value, Vec<(&'static str, Value)>) {
    if dialect == Dialect::Responses {
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
async fn objects_created_through_the_proxy_may_be_named_by_their_caller_only() {
    for dialect in [Dialect::Responses, Dialect::Messages] {
        let (whole, named) = provider_objects(dialect);
        let upstream = Upstream::always(whole_json(200, whole.to_string())).await;
        let wire = dialect.wire().unwrap();
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
        let request = |field: &'static str, value: &Value| {
            Request::chat(dialect, "m", false).set(field, value.clone())
        };
        for (field, value) in &named {
            assert_eq!(
                refusal(mine.ask(&request(field, value)).await).await.0,
                403,
                "{field}: the object does not exist yet"
            );
        }
        assert_eq!(
            refusal(mine.ask(&Request::chat(dialect, "m", false)).await)
                .await
                .0,
            200
        );
        for (field, value) in &named {
            let _case = Case::new(format!("{dialect:?} {value}"));
            let before = upstream.count();
            assert_eq!(
                refusal(others.ask(&request(field, value)).await).await.0,
                403,
                "the object belongs to another caller"
            );
            assert_eq!(upstream.count(), before);
            assert_eq!(refusal(mine.ask(&request(field, value)).await).await.0, 200);
            assert_eq!(
                upstream.call(before).json()[field],
                *value,
                "the field is sent unchanged"
            );
        }
    }
}

#[tokio::test]
async fn an_object_created_for_one_request_is_not_a_reference() {
    let upstream =
        Upstream::start(Answer::tokens(1).script(WireId::OpenaiResponses, Pace::Flat)).await;
    let proxy = proxy(WireId::OpenaiResponses, &upstream).await;
    let tools = json!([{"type": "code_interpreter", "container": {"type": "auto"}}]);
    let request = Request::chat(Dialect::Responses, "m", true)
        .set("tools", tools)
        .set("conversation", Value::Null);
    assert_eq!(
        refusal(proxy.client.with_key(PLAIN).ask(&request).await)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_duplicate_field_is_rejected() {
    for dialect in dialects() {
        let wire = dialect.wire().unwrap_or(WireId::OpenaiChat);
        let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Flat)).await;
        let proxy = proxy(wire, &upstream).await;
        let plain = Request::chat(dialect, "m", true);
        for twice in [
            r#""model":"other","#,
            r#""mod\u0065l":"other","#,
            r#""\u006d\u006f\u0064\u0065\u006c":"other","#,
            r#""stream":false,"#,
        ] {
            let _case = Case::new(format!("{dialect:?} {twice}"));
            let bytes = String::from_utf8(plain.encode(proxy.running.addr())).unwrap();
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
                assert_eq!(refusal(reply).await.0, 400);
            }
        }
        assert_eq!(upstream.count(), 0);
    }
}

#[tokio::test]
async fn every_model_named_in_a_body_must_be_allowed() {
    for (dialect, field, value) in [
        (Dialect::Chat, "models", json!(["m", "dear"])),
        (Dialect::Events, "models", json!(["dear"])),
        (
            Dialect::Chat,
            "tools",
            json!([{"type": "advisor", "model": "dear"}]),
        ),
        (
            Dialect::Responses,
            "tools",
            json!([{"type": "image_generation", "model": "dear"}]),
        ),
        (Dialect::Messages, "fallbacks", json!([{"model": "dear"}])),
        (
            Dialect::Messages,
            "tools",
            json!([{"type": "advisor_20260301", "name": "advisor", "model": "dear"}]),
        ),
    ] {
        let _case = Case::new(format!("{dialect:?} {field}"));
        let wire = dialect.wire().unwrap_or(WireId::OpenaiChat);
        let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Flat)).await;
        let proxy = proxy(wire, &upstream).await;
        let reply = proxy
            .client
            .with_key(PLAIN)
            .ask(&Request::chat(dialect, "m", true).set(field, value))
            .await;
        assert_eq!(refusal(reply).await.0, 403);
        assert_eq!(upstream.count(), 0);
    }
}
