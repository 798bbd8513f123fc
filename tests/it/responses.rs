//! What clients of OpenAI's Responses find beside the stream itself: a response that is read,
//! followed from a number, stopped, forgotten, and gone on from.

use serde_json::{Value, json};

use crate::rig::told::Told;
use crate::rig::upstream::json as whole_json;
use crate::rig::{
    Ask, Client, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Upstream, WireId, wires,
};

const WIRES: [WireId; 3] = [
    WireId::OpenaiChat,
    WireId::OpenaiResponses,
    WireId::Anthropic,
];

fn spoken() -> impl Iterator<Item = WireId> {
    WIRES.into_iter().filter(|wire| wires().contains(wire))
}

fn ask(stream: bool) -> Ask {
    Ask::chat(Speech::Responses, "m", stream)
}

async fn got(client: &Client, method: &'static str, path: &str) -> (u16, Value) {
    let mut reply = client.ask(&Ask::new(method, path)).await;
    (reply.status, reply.json().await)
}

async fn posted(client: &Client, ask: &Ask) -> Value {
    let mut reply = client.ask(ask).await;
    let body = reply.json().await;
    assert_eq!(reply.status, 200, "{body}");
    body
}

fn id(response: &Value) -> String {
    response["id"].as_str().unwrap().to_owned()
}

fn text(response: &Value) -> String {
    Told::of_whole(Speech::Responses, response)
        .text()
        .to_owned()
}

#[tokio::test]
async fn turns_are_gone_on_from() {
    for wire in spoken() {
        let _scene = Scene::of(format!("{wire:?}"));
        let said = Say::tokens(2).tool("call_1", "look", &["{\"a\":1}"]);
        let upstream = Upstream::start(said.script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let first = posted(
            &proxy.client,
            &ask(false)
                .saying("the first question")
                .set("instructions", "secret rules".into()),
        )
        .await;
        let call = first["output"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["type"] == "function_call")
            .unwrap()["call_id"]
            .clone();
        let answer =
            json!([{"type": "function_call_output", "call_id": call, "output": "the answer"}]);
        let second = ask(true)
            .set("input", answer)
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
            call.as_str().unwrap(),
        ] {
            assert!(sent.contains(words), "{words} in {sent}");
        }
        assert!(
            !sent.contains("secret rules") && !sent.contains("previous_response_id"),
            "{sent}"
        );
        // What was gone on from is gone on from again; a call without an answer is the upstream's
        // affair.
        let third = ask(false)
            .saying("and now?")
            .set("previous_response_id", id(&completed).into());
        posted(&proxy.client, &third).await;
        let sent = upstream.call(2).json().to_string();
        assert!(
            sent.contains("the first question") && sent.contains("and now?"),
            "{sent}"
        );
        let (status, list) = got(
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
async fn what_is_not_there_is_not_gone_on_from() {
    let upstream = Upstream::start(Say::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
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
    let kept = id(&posted(&ann, &ask(false)).await);
    let fleeting = id(&posted(&ann, &ask(false).set("store", false.into())).await);
    for (client, id) in [
        (&bob, &kept),
        (&ann, &fleeting),
        (&ann, &"resp_nope".to_owned()),
    ] {
        let mut reply = client
            .ask(&ask(false).set("previous_response_id", id.as_str().into()))
            .await;
        let body = reply.json().await;
        let told = (
            reply.status,
            &body["error"]["code"],
            &body["error"]["param"],
        );
        assert_eq!(
            told,
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
            let (status, body) = got(client, method, &format!("/v1/responses/{id}{rest}")).await;
            assert_eq!(
                (status, &body["error"]["code"]),
                (404, &json!("stream_not_found")),
                "{method} {rest}"
            );
        }
    }
    let (status, body) = got(&ann, "DELETE", &format!("/v1/responses/{kept}")).await;
    assert_eq!(
        (status, body),
        (
            200,
            json!({"id": kept, "object": "response", "deleted": true})
        )
    );
    assert_eq!(
        got(&ann, "GET", &format!("/v1/responses/{kept}")).await.0,
        404
    );
}

/// The events of a stream as they stand, from behind a number.
async fn behind(client: &Client, id: &str, number: u64) -> Reply {
    let path = format!("/v1/responses/{id}?stream=true&starting_after={number}");
    client
        .ask(&Ask::new("GET", path).read_as(Speech::Responses))
        .await
}

#[tokio::test]
async fn a_stream_is_followed_from_any_number() {
    for wire in spoken().filter(|wire| *wire != WireId::OpenaiResponses) {
        let _scene = Scene::of(format!("{wire:?}"));
        let said =
            Say::tokens(3)
                .reasoning("hm", "c2ln")
                .tool("call_1", "look", &["{\"a\":", "1}"]);
        let upstream = Upstream::start(said.script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let (all, _) = proxy.client.ask(&ask(true)).await.events().await;
        let response = all[0].json()["response"].clone();
        let numbers: Vec<u64> = all
            .iter()
            .map(|it| it.json()["sequence_number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..all.len() as u64).collect::<Vec<_>>());
        for number in 0..all.len() {
            let (rest, _) = behind(&proxy.client, &id(&response), number as u64)
                .await
                .events()
                .await;
            let datas = |list: &[crate::rig::sse::Event]| {
                list.iter().map(|it| it.data.clone()).collect::<Vec<_>>()
            };
            assert_eq!(datas(&rest), datas(&all[number + 1..]), "behind {number}");
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
            let (status, body) = got(&proxy.client, "GET", &path).await;
            assert_eq!(
                (status, &body["error"]["code"]),
                (400, &json!(code)),
                "{body}"
            );
        }
        let (_, whole) = got(
            &proxy.client,
            "GET",
            &format!("/v1/responses/{}", id(&response)),
        )
        .await;
        assert_eq!(whole, all.last().unwrap().json()["response"]);
    }
}

#[tokio::test]
async fn in_the_background_it_runs_without_anybody() {
    for wire in spoken() {
        for stream in [false, true] {
            let _scene = Scene::of(format!("{wire:?}, stream: {stream}"));
            let upstream = Upstream::start(Say::tokens(3).script(wire, Pace::Gate)).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let asked = ask(stream).set("background", true.into());
            let id = if stream {
                upstream.open(1);
                let mut reply = proxy.client.ask(&asked).await;
                let first = reply.event().await.unwrap().json();
                reply.abort();
                id(&first["response"])
            } else {
                let response = posted(&proxy.client, &asked).await;
                assert!(
                    matches!(response["status"].as_str(), Some("queued" | "in_progress")),
                    "{response}"
                );
                id(&response)
            };
            upstream.open(10);
            let path = format!("/v1/responses/{id}");
            let done = loop {
                let (status, now) = got(&proxy.client, "GET", &path).await;
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
async fn a_cancel_answers_with_the_response() {
    for wire in spoken() {
        let _scene = Scene::of(format!("{wire:?}"));
        let upstream = Upstream::start(Say::tokens(3).script(wire, Pace::Gate)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let running = async || {
            upstream.open(1);
            let mut reply = proxy.client.ask(&ask(true)).await;
            let first = reply.event().await.unwrap().json();
            reply.until(|told| !told.text().is_empty()).await;
            (reply, id(&first["response"]))
        };
        let (mut reply, id) = running().await;
        let path = format!("/v1/responses/{id}");
        let (_, now) = got(&proxy.client, "GET", &path).await;
        assert_eq!(
            (now["status"].as_str(), now["id"].as_str()),
            (Some("in_progress"), Some(&*id)),
            "{now}"
        );
        let (status, body) = got(&proxy.client, "POST", &format!("{path}/cancel")).await;
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
        // What was open is ended from the inside out, also where all else has passed as it came.
        let names: Vec<&str> = rest
            .iter()
            .map(|event| event.name.as_str())
            .filter(|name| !name.ends_with(".delta"))
            .collect();
        // The upstream here tells of no parts.
        let part = (wire != WireId::OpenaiResponses).then_some("response.content_part.done");
        let ends = [
            Some("response.output_text.done"),
            part,
            Some("response.output_item.done"),
            Some("response.incomplete"),
        ];
        assert_eq!(names, ends.into_iter().flatten().collect::<Vec<_>>());
        assert_eq!(
            got(&proxy.client, "POST", &format!("{path}/cancel")).await,
            (200, body.clone())
        );
        assert_eq!(got(&proxy.client, "GET", &path).await, (200, body));
    }
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_forgotten_once_it_was_read() {
    for wire in spoken() {
        for stream in [false, true] {
            let _scene = Scene::of(format!("{wire:?}, stream: {stream}"));
            let upstream = Upstream::start(Say::tokens(2).script(wire, Pace::Flat)).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let mut reply = proxy
                .client
                .ask(&ask(stream).set("store", false.into()))
                .await;
            let stream_id = reply.stream_id();
            assert!(if stream {
                reply.told().await.is_success()
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

/// OpenAI summarizes reasoning for organizations alone that it has verified, and others do not know
/// the word.
#[tokio::test]
async fn an_account_that_refuses_to_summarize_is_asked_without_from_then_on() {
    if !wires().contains(&WireId::OpenaiResponses) {
        return;
    }
    let refusal = json!({"error": {"message": "Your organization must be verified to generate reasoning summaries.",
        "type": "invalid_request_error", "param": "reasoning.summary", "code": "unsupported_value"}});
    let say = Say::tokens(2);
    let upstream =
        Upstream::start(
            move |call, _| match call.json()["reasoning"]["summary"].as_str() {
                Some(_) => whole_json(400, refusal.to_string()),
                None => say.steps(WireId::OpenaiResponses, Pace::Flat),
            },
        )
        .await;
    let proxy = Proxy::over(WireId::OpenaiResponses, &upstream).await;
    let thinking = Ask::chat(Speech::Chat, "m", true).set("reasoning_effort", "low".into());
    for asked in [2, 3] {
        let told = proxy.client.ask(&thinking).await.told().await;
        assert!(told.is_success() && told.text() == "tok0 tok1 ", "{told:?}");
        assert_eq!(upstream.count(), asked);
    }
    assert_eq!(
        upstream.call(0).json()["reasoning"],
        json!({"effort": "low", "summary": "auto"})
    );
    assert_eq!(
        upstream.call(1).json()["reasoning"],
        json!({"effort": "low"})
    );
    // What a client asks for in the wire's own words is its own affair.
    let own = ask(true).set("reasoning", json!({"effort": "low", "summary": "auto"}));
    let reply = proxy.client.ask(&own).await;
    assert_eq!((reply.status, upstream.count()), (400, 4));
}
