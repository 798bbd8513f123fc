//! Items of earlier responses that a request names instead of bringing them: OpenAI's clients do so
//! by default.

use serde_json::{Value, json};

use crate::rig::{Ask, Client, Pace, Proxy, Say, Scene, Setup, Speech, Upstream, WireId, wires};

const WIRES: [WireId; 4] = [
    WireId::OpenaiChat,
    WireId::OpenaiResponses,
    WireId::Anthropic,
    WireId::Gemini,
];
const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

fn ask() -> Ask {
    Ask::chat(Speech::Responses, "m", false)
}

async fn posted(client: &Client, ask: &Ask) -> (u16, Value) {
    let mut reply = client.ask(ask).await;
    (reply.status, reply.json().await)
}

async fn refused(client: &Client, input: Value) -> (u16, Value, Value) {
    let (status, body) = posted(client, &ask().set("input", input)).await;
    (
        status,
        body["error"]["code"].clone(),
        body["error"]["param"].clone(),
    )
}

/// References to all items of an output.
fn named(response: &Value) -> Vec<Value> {
    let items = response["output"].as_array().unwrap();
    items
        .iter()
        .map(|item| json!({"type": "item_reference", "id": item["id"]}))
        .collect()
}

/// Two callers before an upstream.
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
async fn a_turn_brings_items_by_their_names() {
    for wire in WIRES.into_iter().filter(|wire| wires().contains(wire)) {
        let _scene = Scene::of(format!("{wire:?}"));
        let said = Say::tokens(2)
            .reasoning("hm", "c2ln")
            .tool("call_1", "look", &["{\"a\":1}"]);
        let upstream = Upstream::start(said.script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let (_, first) = posted(&proxy.client, &ask().saying("the first question")).await;
        let call = first["output"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["type"] == "function_call")
            .unwrap()["call_id"]
            .clone();
        let mut input = vec![json!({"role": "user", "content": "the first question"})];
        input.extend(named(&first));
        input
            .push(json!({"type": "function_call_output", "call_id": call, "output": "the answer"}));
        let (status, second) = posted(&proxy.client, &ask().set("input", input.into())).await;
        assert_eq!(status, 200, "{second}");
        let sent = upstream.call(1).json().to_string();
        for words in ["the first question", "tok0 tok1 ", "look", "the answer"] {
            assert!(sent.contains(words), "{words} in {sent}");
        }
        assert!(!sent.contains("item_reference"), "{sent}");
        // Its own input may be named as well, and a type is not needed for it.
        let (_, list) = {
            let path = format!(
                "/v1/responses/{}/input_items?order=asc",
                second["id"].as_str().unwrap()
            );
            posted(&proxy.client, &Ask::new("GET", &path)).await
        };
        let asked = json!({"id": list["data"][0]["id"]});
        let (status, third) = posted(
            &proxy.client,
            &ask().set(
                "input",
                json!([asked, {"role": "user", "content": "and now?"}]),
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
async fn items_are_named_with_a_response_that_is_gone_on_from() {
    let upstream = Upstream::start(Say::tokens(2).script(WireId::Anthropic, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::Anthropic, &upstream).await;
    let (_, first) = posted(&proxy.client, &ask().saying("one")).await;
    let (_, second) = posted(&proxy.client, &ask().saying("two")).await;
    let mut input = named(&first);
    input.push(json!({"role": "user", "content": "three"}));
    let (status, third) = posted(
        &proxy.client,
        &ask()
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
async fn another_s_items_are_as_if_they_never_were() {
    for wire in [WireId::Anthropic, WireId::OpenaiResponses] {
        let _scene = Scene::of(format!("{wire:?}"));
        let upstream = Upstream::start(Say::tokens(2).script(wire, Pace::Flat)).await;
        let (_proxy, ann, bob) = shared(wire, &upstream).await;
        let (_, kept) = posted(&ann, &ask()).await;
        let ours = wire == WireId::Anthropic;
        let expected = if ours {
            (404, json!("stream_not_found"))
        } else {
            (403, json!("field_not_allowed"))
        };
        let unknown = json!([{"type": "item_reference", "id": if ours { "msg_abcdefghijklmnopqrstuvwxyz_0" } else { "msg_nobody" }}]);
        let mut cases = vec![(&bob, Value::from(named(&kept))), (&bob, unknown)];
        if ours {
            // Over its own wire all answers of the scripted upstream have the same ids.
            let (_, fleeting) = posted(&ann, &ask().set("store", false.into())).await;
            cases.push((&ann, named(&fleeting).into()));
        }
        let asked = upstream.count();
        for (client, input) in cases {
            let (status, code, param) = refused(client, input).await;
            assert_eq!(
                ((status, code), param),
                (expected.clone(), json!("input[0]"))
            );
        }
        assert_eq!(upstream.count(), asked, "none of it reaches the upstream");
        assert_eq!(
            posted(&ann, &ask().set("input", named(&kept).into()))
                .await
                .0,
            200
        );
        let id = kept["id"].as_str().unwrap();
        assert_eq!(
            posted(&ann, &Ask::new("DELETE", format!("/v1/responses/{id}")))
                .await
                .0,
            200
        );
        assert_eq!(
            refused(&ann, named(&kept).into()).await.0,
            expected.0,
            "forgotten with its response"
        );
    }
}

#[tokio::test]
async fn what_is_no_item_of_a_response_is_not_found_in_it() {
    let upstream = Upstream::start(Say::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let (_, first) = posted(&proxy.client, &ask()).await;
    let id = first["output"][0]["id"].as_str().unwrap();
    let (stem, _) = id.rsplit_once('_').unwrap();
    let wrong = json!([{"role": "user", "content": "a"}, {"type": "item_reference", "id": format!("{stem}_7")}]);
    assert_eq!(
        refused(&proxy.client, wrong).await,
        (404, json!("stream_not_found"), json!("input[1]"))
    );
}

#[tokio::test]
async fn a_few_names_bring_no_more_than_a_body_may_hold() {
    let upstream = Upstream::start(Say::tokens(200).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("server", "max_body = \"2KiB\"")
        .start()
        .await;
    let (_, first) = posted(&proxy.client, &ask()).await;
    let (_, second) = posted(&proxy.client, &ask()).await;
    assert_eq!(
        posted(&proxy.client, &ask().set("input", named(&first).into()))
            .await
            .0,
        200,
        "one of them is small enough"
    );
    let both: Vec<Value> = named(&first).into_iter().chain(named(&second)).collect();
    assert_eq!(
        refused(&proxy.client, both.into()).await,
        (413, json!("body_too_large"), json!("input[1]"))
    );
    assert_eq!(upstream.count(), 3);
}
