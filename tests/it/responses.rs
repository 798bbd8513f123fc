//! OpenAI's Responses API beside the stream itself: a response is read, followed from a number,
//! cancelled, deleted and continued.

use serde_json::{Value, json};

use crate::rig::received::Received;
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Reply, Request, Setup, Upstream, WireId, wires,
};

const WIRES: [WireId; 3] = [
    WireId::OpenaiChat,
    WireId::OpenaiResponses,
    WireId::Anthropic,
];

fn tested_wires() -> impl Iterator<Item = WireId> {
    WIRES.into_iter().filter(|wire| wires().contains(wire))
}

fn request(stream: bool) -> Request {
    Request::chat(Dialect::Responses, "m", stream)
}

async fn call(client: &Client, method: &'static str, path: &str) -> (u16, Value) {
    let mut reply = client.ask(&Request::new(method, path)).await;
    (reply.status, reply.json().await)
}

async fn post(client: &Client, request: &Request) -> Value {
    let mut reply = client.ask(request).await;
    let body = reply.json().await;
    assert_eq!(reply.status, 200, "{body}");
    body
}

fn id(response: &Value) -> String {
    response["id"].as_str().unwrap().to_owned()
}

fn text(response: &Value) -> String {
    Received::from_body(Dialect::Responses, response)
        .text()
        .to_owned()
}

#[tokio::test]
async fn a_response_is_continued() {
    for wire in tested_wires() {
        let _case = Case::new(format!("{wire:?}"));
        let answer = Answer::tokens(2).tool("call_1", "look", &["{\"a\":1}"]);
        let upstream = Upstream::start(answer.script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let first = post(
            &proxy.client,
            &request(false)
                .with_text("the first question")
                .set("instructions", "secret rules".into()),
        )
        .await;
        let call_id = first["output"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["type"] == "function_call")
            .unwrap()["call_id"]
            .clone();
        let tool_output =
            json!([{"type": "function_call_output", "call_id": call_id, "output": "the answer"}]);
        let second = request(true)
            .set("input", tool_output)
            .set("previous_response_id", id(&first).into());
        let mut reply = proxy.client.ask(&second).await;
        let (events, _) = reply.events().await;
        let completed = events.last().unwrap().json()["response"].clone();
        assert_eq!(completed["status"], "completed", "{completed}");
        let sent = upstream.call(1).json().to_string();
        for words in [
            "the first question",
            "tok0 tok1 ",
            "look",
            "the answer",
            call_id.as_str().unwrap(),
        ] {
            assert!(sent.contains(words), "{words} in {sent}");
        }
        assert!(
            !sent.contains("secret rules") && !sent.contains("previous_response_id"),
            "{sent}"
        );
        // A continued response can be continued again; a tool call without an output is for the
        // upstream to judge.
        let third = request(false)
            .with_text("and now?")
            .set("previous_response_id", id(&completed).into());
        post(&proxy.client, &third).await;
        let sent = upstream.call(2).json().to_string();
        assert!(
            sent.contains("the first question") && sent.contains("and now?"),
            "{sent}"
        );
        let (status, list) = call(
            &proxy.client,
            "GET",
            &format!(
                "/v1/responses/{}/input_items?order=asc&limit=2",
                id(&completed)
            ),
        )
        .await;
        assert_eq!(
            (status, &list["object"], &list["has_more"]),
            (200, &json!("list"), &json!(true)),
            "{list}"
        );
        assert!(
            list["data"][0].to_string().contains("the first question")
                && list["first_id"] == list["data"][0]["id"],
            "{list}"
        );
    }
}

#[tokio::test]
async fn an_unknown_response_cannot_be_continued() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let keys = |name: &str| {
        (
            format!("keys.{name}"),
            format!("secret = \"{name}-0123456789abcdef\"\nmodels = [\"*\"]"),
        )
    };
    let mut setup = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("auth", "mode = \"required\"");
    for (name, lines) in ["ann", "bob"].map(keys) {
        setup = setup.section(&name, &lines);
    }
    let proxy = setup.start().await;
    let (ann, bob) = (
        proxy.client.with_key("ann-0123456789abcdef"),
        proxy.client.with_key("bob-0123456789abcdef"),
    );
    let kept = id(&post(&ann, &request(false)).await);
    let fleeting = id(&post(&ann, &request(false).set("store", false.into())).await);
    for (client, id) in [
        (&bob, &kept),
        (&ann, &fleeting),
        (&ann, &"resp_nope".to_owned()),
    ] {
        let mut reply = client
            .ask(&request(false).set("previous_response_id", id.as_str().into()))
            .await;
        let body = reply.json().await;
        let refusal = (
            reply.status,
            &body["error"]["code"],
            &body["error"]["param"],
        );
        assert_eq!(
            refusal,
            (
                404,
                &json!("previous_response_not_found"),
                &json!("previous_response_id")
            ),
            "{body}"
        );
        for (method, rest) in [
            ("GET", ""),
            ("POST", "/cancel"),
            ("DELETE", ""),
            ("GET", "/input_items"),
        ] {
            let (status, body) = call(client, method, &format!("/v1/responses/{id}{rest}")).await;
            assert_eq!(
                (status, &body["error"]["code"]),
                (404, &json!("stream_not_found")),
                "{method} {rest}"
            );
        }
    }
    let (status, body) = call(&ann, "DELETE", &format!("/v1/responses/{kept}")).await;
    assert_eq!(
        (status, body),
        (
            200,
            json!({"id": kept, "object": "response", "deleted": true})
        )
    );
    assert_eq!(
        call(&ann, "GET", &format!("/v1/responses/{kept}")).await.0,
        404
    );
}

/// Reads the events of a stream after a sequence number.
async fn follow_after(client: &Client, id: &str, number: u64) -> Reply {
    let path = format!("/v1/responses/{id}?stream=true&starting_after={number}");
    client
        .ask(&Request::new("GET", path).read_as(Dialect::Responses))
        .await
}

#[tokio::test]
async fn a_stream_is_followed_from_any_sequence_number() {
    for wire in tested_wires().filter(|wire| *wire != WireId::OpenaiResponses) {
        let _case = Case::new(format!("{wire:?}"));
        let answer =
            Answer::tokens(3)
                .reasoning("hm", "c2ln")
                .tool("call_1", "look", &["{\"a\":", "1}"]);
        let upstream = Upstream::start(answer.script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let (all, _) = proxy.client.ask(&request(true)).await.events().await;
        let response = all[0].json()["response"].clone();
        let numbers: Vec<u64> = all
            .iter()
            .map(|it| it.json()["sequence_number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..all.len() as u64).collect::<Vec<_>>());
        for number in 0..all.len() {
            let (rest, _) = follow_after(&proxy.client, &id(&response), number as u64)
                .await
                .events()
                .await;
            let datas = |list: &[crate::rig::sse::Event]| {
                list.iter().map(|it| it.data.clone()).collect::<Vec<_>>()
            };
            assert_eq!(datas(&rest), datas(&all[number + 1..]), "after {number}");
        }
        for (after, code) in [
            (all.len().to_string(), "bad_event_id"),
            ("x".into(), "invalid_request"),
            ("-1".into(), "invalid_request"),
        ] {
            let path = format!(
                "/v1/responses/{}?stream=true&starting_after={after}",
                id(&response)
            );
            let (status, body) = call(&proxy.client, "GET", &path).await;
            assert_eq!(
                (status, &body["error"]["code"]),
                (400, &json!(code)),
                "{body}"
            );
        }
        let (_, whole) = call(
            &proxy.client,
            "GET",
            &format!("/v1/responses/{}", id(&response)),
        )
        .await;
        assert_eq!(whole, all.last().unwrap().json()["response"]);
    }
}

#[tokio::test]
async fn a_background_response_runs_without_readers() {
    for wire in tested_wires() {
        for stream in [false, true] {
            let _case = Case::new(format!("{wire:?}, stream: {stream}"));
            let upstream = Upstream::start(Answer::tokens(3).script(wire, Pace::Gate)).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let request = request(stream).set("background", true.into());
            let id = if stream {
                upstream.open(1);
                let mut reply = proxy.client.ask(&request).await;
                let first = reply.event().await.unwrap().json();
                reply.abort();
                id(&first["response"])
            } else {
                let response = post(&proxy.client, &request).await;
                assert!(
                    matches!(response["status"].as_str(), Some("queued" | "in_progress")),
                    "{response}"
                );
                id(&response)
            };
            upstream.open(10);
            let path = format!("/v1/responses/{id}");
            let done = loop {
                let (status, now) = call(&proxy.client, "GET", &path).await;
                assert_eq!((status, now["id"].as_str()), (200, Some(&*id)), "{now}");
                if !matches!(now["status"].as_str(), Some("queued" | "in_progress")) {
                    break now;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(
                (done["status"].as_str(), &*text(&done)),
                (Some("completed"), "tok0 tok1 tok2 ")
            );
            assert!(!upstream.call(0).json().to_string().contains("background"));
        }
    }
}

#[tokio::test]
async fn a_cancel_returns_the_response() {
    for wire in tested_wires() {
        let _case = Case::new(format!("{wire:?}"));
        let upstream = Upstream::start(Answer::tokens(3).script(wire, Pace::Gate)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let running = async || {
            upstream.open(1);
            let mut reply = proxy.client.ask(&request(true)).await;
            let first = reply.event().await.unwrap().json();
            reply.until(|received| !received.text().is_empty()).await;
            (reply, id(&first["response"]))
        };
        let (mut reply, id) = running().await;
        let path = format!("/v1/responses/{id}");
        let (_, now) = call(&proxy.client, "GET", &path).await;
        assert_eq!(
            (now["status"].as_str(), now["id"].as_str()),
            (Some("in_progress"), Some(&*id)),
            "{now}"
        );
        let (status, body) = call(&proxy.client, "POST", &format!("{path}/cancel")).await;
        assert_eq!(
            (status, body["status"].as_str(), body["id"].as_str()),
            (200, Some("cancelled"), Some(&*id)),
            "{body}"
        );
        assert_eq!(text(&body), "tok0 ");
        let (rest, _) = reply.events().await;
        let last = rest.last().unwrap().json();
        assert_eq!(
            (last["type"].as_str(), &last["response"]),
            (Some("response.incomplete"), &body)
        );
        // Open parts are ended from the inside out, also where all other payloads are passed on
        // unchanged.
        let names: Vec<&str> = rest
            .iter()
            .map(|event| event.name.as_str())
            .filter(|name| !name.ends_with(".delta"))
            .collect();
        // The scripted upstream sends no content part events.
        let part = (wire != WireId::OpenaiResponses).then_some("response.content_part.done");
        let ends = [
            Some("response.output_text.done"),
            part,
            Some("response.output_item.done"),
            Some("response.incomplete"),
        ];
        assert_eq!(names, ends.into_iter().flatten().collect::<Vec<_>>());
        assert_eq!(
            call(&proxy.client, "POST", &format!("{path}/cancel")).await,
            (200, body.clone())
        );
        assert_eq!(call(&proxy.client, "GET", &path).await, (200, body));
    }
}

#[tokio::test]
async fn an_unstored_response_is_deleted_once_it_was_read() {
    for wire in tested_wires() {
        for stream in [false, true] {
            let _case = Case::new(format!("{wire:?}, stream: {stream}"));
            let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Flat)).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let mut reply = proxy
                .client
                .ask(&request(stream).set("store", false.into()))
                .await;
            let stream_id = reply.stream_id();
            assert!(if stream {
                reply.received().await.is_success()
            } else {
                text(&reply.json().await) == "tok0 tok1 "
            });
            let gone = async {
                while proxy
                    .client
                    .get(&format!("/v1/responses/resp_{stream_id}"))
                    .await
                    .status
                    != 404
                {}
            };
            crate::rig::within("the stream to be forgotten", gone).await;
            assert_eq!(
                proxy
                    .client
                    .get(&format!("/v1/streams/{stream_id}"))
                    .await
                    .status,
                404
            );
        }
    }
}
