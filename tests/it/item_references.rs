//! Requests that refer to items of earlier responses by id instead of sending them, as OpenAI's
//! clients do by default.

use serde_json::{Value, json};

use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Request, Setup, Upstream, WireId, wires,
};

const WIRES: [WireId; 4] = [
    WireId::OpenaiChat,
    WireId::OpenaiResponses,
    WireId::Anthropic,
    WireId::Gemini,
];
const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

fn request() -> Request {
    Request::chat(Dialect::Responses, "m", false)
}

async fn post(client: &Client, request: &Request) -> (u16, Value) {
    let mut reply = client.ask(request).await;
    (reply.status, reply.json().await)
}

async fn refused(client: &Client, input: Value) -> (u16, Value, Value) {
    let (status, body) = post(client, &request().set("input", input)).await;
    (
        status,
        body["error"]["code"].clone(),
        body["error"]["param"].clone(),
    )
}

/// Returns references to all items of an output.
fn item_references(response: &Value) -> Vec<Value> {
    let items = response["output"].as_array().unwrap();
    items
        .iter()
        .map(|item| json!({"type": "item_reference", "id": item["id"]}))
        .collect()
}

/// A proxy with two callers.
async fn shared(wire: WireId, upstream: &Upstream) -> (Proxy, Client, Client) {
    let key = |secret: &str| format!("secret = \"{secret}\"\nmodels = [\"*\"]");
    let setup = Setup::new()
        .over(wire, upstream)
        .section("auth", "mode = \"required\"");
    let proxy = setup
        .section("keys.ann", &key(ANN))
        .section("keys.bob", &key(BOB))
        .start()
        .await;
    let (ann, bob) = (proxy.client.with_key(ANN), proxy.client.with_key(BOB));
    (proxy, ann, bob)
}

#[tokio::test]
async fn a_turn_references_earlier_items_by_id() {
    for wire in WIRES.into_iter().filter(|wire| wires().contains(wire)) {
        let _case = Case::new(format!("{wire:?}"));
        let answer =
            Answer::tokens(2)
                .reasoning("hm", "c2ln")
                .tool("call_1", "look", &["{\"a\":1}"]);
        let upstream = Upstream::start(answer.script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let (_, first) = post(&proxy.client, &request().with_text("the first question")).await;
        let call = first["output"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["type"] == "function_call")
            .unwrap()["call_id"]
            .clone();
        let mut input = vec![json!({"role": "user", "content": "the first question"})];
        input.extend(item_references(&first));
        input
            .push(json!({"type": "function_call_output", "call_id": call, "output": "the answer"}));
        let (status, second) = post(&proxy.client, &request().set("input", input.into())).await;
        assert_eq!(status, 200, "{second}");
        let sent = upstream.call(1).json().to_string();
        for words in ["the first question", "tok0 tok1 ", "look", "the answer"] {
            assert!(sent.contains(words), "{words} in {sent}");
        }
        assert!(!sent.contains("item_reference"), "{sent}");
        // Input items can be referenced too, and the reference does not need a type.
        let (_, list) = {
            let path = format!(
                "/v1/responses/{}/input_items?order=asc",
                second["id"].as_str().unwrap()
            );
            post(&proxy.client, &Request::new("GET", &path)).await
        };
        let reference = json!({"id": list["data"][0]["id"]});
        let (status, third) = post(
            &proxy.client,
            &request().set(
                "input",
                json!([reference, {"role": "user", "content": "and now?"}]),
            ),
        )
        .await;
        assert_eq!(status, 200, "{third}");
        let sent = upstream.call(2).json().to_string();
        assert!(
            sent.contains("the first question") && sent.contains("and now?"),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn items_are_referenced_together_with_a_previous_response() {
    let upstream = Upstream::start(Answer::tokens(2).script(WireId::Anthropic, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::Anthropic, &upstream).await;
    let (_, first) = post(&proxy.client, &request().with_text("one")).await;
    let (_, second) = post(&proxy.client, &request().with_text("two")).await;
    let mut input = item_references(&first);
    input.push(json!({"role": "user", "content": "three"}));
    let (status, third) = post(
        &proxy.client,
        &request()
            .set("input", input.into())
            .set("previous_response_id", second["id"].clone()),
    )
    .await;
    assert_eq!(status, 200, "{third}");
    let sent = upstream.call(2).json()["messages"].to_string();
    let at = |words: &str| {
        sent.find(words)
            .unwrap_or_else(|| panic!("{words} in {sent}"))
    };
    assert!(
        at("two") < at("three") && sent.matches("tok0 tok1 ").count() == 2 && !sent.contains("one"),
        "{sent}"
    );
}

#[tokio::test]
async fn another_callers_items_are_not_found() {
    for wire in [WireId::Anthropic, WireId::OpenaiResponses] {
        let _case = Case::new(format!("{wire:?}"));
        let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Flat)).await;
        let (_proxy, ann, bob) = shared(wire, &upstream).await;
        let (_, kept) = post(&ann, &request()).await;
        let ours = wire == WireId::Anthropic;
        let expected = if ours {
            (404, json!("stream_not_found"))
        } else {
            (403, json!("field_not_allowed"))
        };
        let unknown = json!([{"type": "item_reference", "id": if ours { "msg_abcdefghijklmnopqrstuvwxyz_0" } else { "msg_nobody" }}]);
        let mut cases = vec![(&bob, Value::from(item_references(&kept))), (&bob, unknown)];
        if ours {
            // Over its own wire all answers of the scripted upstream have the same ids.
            let (_, fleeting) = post(&ann, &request().set("store", false.into())).await;
            cases.push((&ann, item_references(&fleeting).into()));
        }
        let asked = upstream.count();
        for (client, input) in cases {
            let (status, code, param) = refused(client, input).await;
            assert_eq!(
                ((status, code), param),
                (expected.clone(), json!("input[0]"))
            );
        }
        assert_eq!(
            upstream.count(),
            asked,
            "no refused request reaches the upstream"
        );
        assert_eq!(
            post(&ann, &request().set("input", item_references(&kept).into()))
                .await
                .0,
            200
        );
        let id = kept["id"].as_str().unwrap();
        assert_eq!(
            post(&ann, &Request::new("DELETE", format!("/v1/responses/{id}")))
                .await
                .0,
            200
        );
        assert_eq!(
            refused(&ann, item_references(&kept).into()).await.0,
            expected.0,
            "items are deleted with their response"
        );
    }
}

#[tokio::test]
async fn an_unknown_item_of_a_known_response_is_not_found() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let (_, first) = post(&proxy.client, &request()).await;
    let id = first["output"][0]["id"].as_str().unwrap();
    let (stem, _) = id.rsplit_once('_').unwrap();
    let wrong = json!([{"role": "user", "content": "a"}, {"type": "item_reference", "id": format!("{stem}_7")}]);
    assert_eq!(
        refused(&proxy.client, wrong).await,
        (404, json!("stream_not_found"), json!("input[1]"))
    );
}

#[tokio::test]
async fn referenced_items_count_toward_the_body_limit() {
    let upstream =
        Upstream::start(Answer::tokens(200).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("server", "max_body = \"2KiB\"")
        .start()
        .await;
    let (_, first) = post(&proxy.client, &request()).await;
    let (_, second) = post(&proxy.client, &request()).await;
    assert_eq!(
        post(
            &proxy.client,
            &request().set("input", item_references(&first).into())
        )
        .await
        .0,
        200,
        "the items of one response are small enough"
    );
    let both: Vec<Value> = item_references(&first)
        .into_iter()
        .chain(item_references(&second))
        .collect();
    assert_eq!(
        refused(&proxy.client, both.into()).await,
        (413, json!("body_too_large"), json!("input[1]"))
    );
    assert_eq!(upstream.count(), 3);
}
