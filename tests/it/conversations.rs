//! Conversations by the client's own id: the requests of `useChat` other than new messages.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::upstream::Close;
use crate::rig::{
    Answer, Case, Client, Dialect, Ending, Pace, Proxy, Received, Reply, Request, Setup, Upstream,
    VirtualClock, WireId, encode, name, wires, within,
};

/// An id as `useChat` generates it: 16 characters.
const CHAT: &str = "k3Jq8ZxWv0PbN5Lr";
const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";
const TOKENS: usize = 8;
/// Longer than any grace period.
const LATER: Duration = Duration::from_secs(60);

/// A new message in a chat.
fn post(chat: &str) -> Request {
    Request::chat(Dialect::Ui, "m", true).set("id", chat.into())
}

fn resume(chat: &str) -> Request {
    Request::new("GET", format!("/v1/ui/chat/{chat}/stream")).read_as(Dialect::Ui)
}

/// Stops the running stream of a chat, or the named stream.
async fn stop(client: &Client, chat: &str, stream: Option<&str>) -> (u16, Value) {
    let request = Request::new("POST", format!("/v1/ui/chat/{chat}/stop"));
    let request = stream.map_or(request.clone(), |id| request.json(&json!({"stream": id})));
    let mut reply = client.ask(&request).await;
    let body = reply.json().await;
    (reply.status, body)
}

fn stopped(stopped: bool) -> (u16, Value) {
    (200, json!({"stopped": stopped}))
}

/// Asserts that the chat has no stream to resume.
async fn assert_no_stream(client: &Client, chat: &str) {
    let mut reply = client.ask(&resume(chat)).await;
    assert_eq!((reply.status, reply.text().await.as_str()), (204, ""));
}

async fn first_token(reply: &mut Reply) {
    reply
        .until(|received| received.text().contains("tok"))
        .await;
}

fn assert_ui_head(reply: &Reply) {
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-vercel-ai-ui-message-stream"), Some("v1"));
    assert!(
        reply
            .header("content-type")
            .is_some_and(|it| it.starts_with("text/event-stream"))
    );
}

/// A proxy and its upstream, which waits at a gate before each token.
async fn gated(wire: WireId) -> (Upstream, Proxy) {
    let upstream = Upstream::start(Answer::tokens(TOKENS).script(wire, Pace::Gate)).await;
    let proxy = Proxy::over(wire, &upstream).await;
    (upstream, proxy)
}

/// Waits until the proxy has noticed that no reader is connected.
async fn until_unread(proxy: &Proxy) {
    let waiting = async {
        while proxy.running.current_load().readers > 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the last reader to disconnect", waiting).await;
}

#[tokio::test]
async fn a_running_answer_is_replayed_from_its_start() {
    for wire in wires() {
        let _case = Case::new(format!("{wire:?}"));
        let (upstream, proxy) = gated(wire).await;
        let mut reply = proxy.client.ask(&post(CHAT)).await;
        assert_ui_head(&reply);
        upstream.open(3);
        let mut first = reply
            .until(|received| received.text().matches("tok").count() >= 3)
            .await;
        assert_eq!(first[0].json()["type"], "start");
        // The page is reloaded …
        let mut again = proxy.client.ask(&resume(CHAT)).await;
        assert_ui_head(&again);
        assert_eq!(again.stream_id(), reply.stream_id());
        // … while the answer goes on.
        upstream.open(TOKENS);
        let (rest, ending) = reply.events().await;
        first.extend(rest);
        let (whole, again) = again.events().await;
        assert_eq!((ending, again), (Ending::Proper, Ending::Proper));
        assert_eq!(
            whole, first,
            "a replay equals what the first reader received"
        );
        let received = Received::from_events(Dialect::Ui, &whole);
        assert!(
            received.is_success() && received.text() == Answer::tokens(TOKENS).text(),
            "{received:?}"
        );
        assert_no_stream(&proxy.client, CHAT).await;
        assert_eq!(upstream.count(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_ended_unread_is_replayed_once() {
    let (upstream, proxy) = gated(WireId::OpenaiChat).await;
    let mut reply = proxy.client.ask(&post(CHAT)).await;
    upstream.open(1);
    first_token(&mut reply).await;
    let id = reply.stream_id();
    drop(reply);
    upstream.open(TOKENS);
    proxy.client.until_status(&id, "completed").await;
    // A HEAD request does not count as reading the answer.
    let head = proxy
        .client
        .ask(&Request::new("HEAD", format!("/v1/ui/chat/{CHAT}/stream")))
        .await;
    assert_ui_head(&head);
    let received = proxy.client.ask(&resume(CHAT)).await.received().await;
    assert!(
        received.is_success() && received.text() == Answer::tokens(TOKENS).text(),
        "{received:?}"
    );
    assert_no_stream(&proxy.client, CHAT).await;
}

#[tokio::test]
async fn an_unknown_chat_has_no_stream() {
    let (_upstream, proxy) = gated(WireId::OpenaiChat).await;
    assert_no_stream(&proxy.client, CHAT).await;
    assert_eq!(stop(&proxy.client, CHAT, None).await, stopped(false));
    assert_eq!(
        stop(&proxy.client, CHAT, Some("whatever")).await,
        stopped(false)
    );
    let mut reply = proxy
        .client
        .ask(&Request::new("POST", format!("/v1/ui/chat/{CHAT}/stop")).json(&json!({"stream": 7})))
        .await;
    assert_eq!(
        (reply.status, &reply.json().await["error"]["param"]),
        (400, &json!("stream"))
    );
    for (method, path, allow) in [("POST", "stream", "GET, HEAD"), ("GET", "stop", "POST")] {
        let reply = proxy
            .client
            .ask(&Request::new(method, format!("/v1/ui/chat/{CHAT}/{path}")))
            .await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)));
    }
}

#[tokio::test]
async fn a_new_message_cancels_the_older_answer_only_without_readers() {
    let clock = VirtualClock::start();
    for read in [false, true] {
        let _case = Case::new(format!("the older one is read: {read}"));
        let (upstream, proxy) = gated(WireId::OpenaiChat).await;
        let mut older = proxy.client.ask(&post(CHAT)).await;
        upstream.open(1);
        first_token(&mut older).await;
        let id = older.stream_id();
        let older = Some(older).filter(|_| read);
        if !read {
            until_unread(&proxy).await;
        }
        let newer = proxy.client.ask(&post(CHAT)).await;
        assert_ne!(newer.stream_id(), id);
        assert_eq!(
            proxy.client.ask(&resume(CHAT)).await.stream_id(),
            newer.stream_id(),
            "the newest is resumed"
        );
        if let Some(mut older) = older {
            upstream.requests(2).await;
            upstream.open(4 * TOKENS);
            assert!(older.received().await.is_success());
        } else {
            clock
                .takes_at_most(
                    Duration::from_secs(1),
                    "the older answer's upstream to be closed",
                    upstream.closed(0),
                )
                .await;
            assert_eq!(
                proxy.client.until_status(&id, "cancelled").await["reason"],
                "cancelled"
            );
        }
    }
}

#[tokio::test]
async fn a_stop_ends_the_answer_and_its_upstream() {
    for wire in wires() {
        for named in [None, Some(false), Some(true)] {
            let _case = Case::new(format!("{wire:?}, named: {named:?}"));
            let (upstream, proxy) = gated(wire).await;
            let mut reply = proxy.client.ask(&post(CHAT).named(&name(1))).await;
            upstream.open(2);
            first_token(&mut reply).await;
            let (id, own) = (reply.stream_id(), name(1));
            let stream = named.map(|by_id| if by_id { id.as_str() } else { own.as_str() });
            assert_eq!(stop(&proxy.client, CHAT, stream).await, stopped(true));
            assert!(matches!(
                upstream.closed(0).await,
                Close::Fin | Close::Reset
            ));
            let received = reply.received().await;
            assert!(received.is_cancelled(), "{received:?}");
            assert_eq!(proxy.client.status(&id).await["upstream"], "closed");
            assert_eq!(
                stop(&proxy.client, CHAT, stream).await,
                stopped(false),
                "the answer has ended"
            );
            proxy.at_rest().await;
        }
    }
}

#[tokio::test]
async fn a_late_stop_does_not_affect_the_newer_answer() {
    let (upstream, proxy) = gated(WireId::OpenaiChat).await;
    let mut older = proxy.client.ask(&post(CHAT)).await;
    upstream.open(2 * TOKENS);
    assert!(older.received().await.is_success());
    let mut newer = proxy.client.ask(&post(CHAT)).await;
    assert_eq!(
        stop(&proxy.client, CHAT, Some(&older.stream_id())).await,
        stopped(false)
    );
    upstream.open(2 * TOKENS);
    assert!(newer.received().await.is_success());
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_short_chat_id_cannot_be_resumed_or_stopped() {
    let (upstream, proxy) = gated(WireId::OpenaiChat).await;
    let short = CHAT.trim_start_matches('k');
    let mut reply = proxy.client.ask(&post(short)).await;
    upstream.open(1);
    first_token(&mut reply).await;
    assert_no_stream(&proxy.client, short).await;
    let (status, body) = stop(&proxy.client, short, None).await;
    assert_eq!(
        (status, &body["error"]["param"]),
        (400, &json!("chat")),
        "{body}"
    );
    upstream.open(TOKENS);
    assert!(reply.received().await.is_success(), "the answer continued");
}

#[tokio::test]
async fn another_callers_chat_is_not_found() {
    let upstream =
        Upstream::start(Answer::tokens(TOKENS).script(WireId::OpenaiChat, Pace::Gate)).await;
    let setup = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("auth", "mode = \"required\"");
    let setup = setup
        .section("keys.ann", &format!("secret = \"{ANN}\""))
        .section("keys.bob", &format!("secret = \"{BOB}\""));
    let proxy = setup.start().await;
    let (ann, bob) = (proxy.client.with_key(ANN), proxy.client.with_key(BOB));
    let mut reply = ann.ask(&post(CHAT)).await;
    upstream.open(1);
    first_token(&mut reply).await;
    assert_no_stream(&bob, CHAT).await;
    assert_eq!(stop(&bob, CHAT, None).await, stopped(false));
    assert_eq!(
        stop(&bob, CHAT, Some(&reply.stream_id())).await,
        stopped(false)
    );
    // Bob's message under the same id does not affect Ann's stream.
    let his = bob.ask(&post(CHAT)).await;
    assert_ne!(his.stream_id(), reply.stream_id());
    assert_eq!(proxy.client.ask(&resume(CHAT)).await.status, 401);
    assert_eq!(stop(&ann, CHAT, None).await, stopped(true));
    assert!(reply.received().await.is_cancelled());
    assert_eq!(bob.status(&his.stream_id()).await["status"], "running");
}

#[tokio::test]
async fn ui_model_is_the_default_where_the_page_names_none() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let request = post(CHAT).without("model");
    let proxy = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .start()
        .await;
    let mut reply = proxy.client.ask(&request).await;
    let body = reply.json().await;
    assert_eq!(
        (reply.status, &body["error"]["param"]),
        (400, &json!("model"))
    );
    assert!(
        body["error"]["message"]
            .as_str()
            .is_some_and(|it| it.contains("ui.model")),
        "{body}"
    );
    let setup = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("ui", "model = \"m\"");
    let proxy = setup.model("other", "[\"up/other-up\"]").start().await;
    assert!(
        proxy
            .client
            .ask(&request)
            .await
            .received()
            .await
            .is_success()
    );
    assert_eq!(upstream.call(0).json()["model"], "m-up");
    assert!(
        proxy
            .client
            .ask(&post(CHAT).set("model", "other".into()))
            .await
            .received()
            .await
            .is_success()
    );
    assert_eq!(upstream.call(1).json()["model"], "other-up");
    // `ui.model` is not the default of other dialects.
    assert_eq!(
        proxy
            .client
            .ask(&Request::chat(Dialect::Chat, "m", true).without("model"))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_further_step_continues_the_same_message() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let question =
        json!({"id": "m1", "role": "user", "parts": [{"type": "text", "text": "The time?"}]});
    let call = json!({"type": "tool-clock", "toolCallId": "c1", "state": "output-available", "input": {}, "output": "noon"});
    let reply_so_far = json!({"id": "msg_of_before", "role": "assistant", "parts": [{"type": "step-start"}, call]});
    let mut reply = proxy
        .client
        .ask(&post(CHAT).set("messages", json!([question, reply_so_far])))
        .await;
    assert_eq!(
        reply.event().await.unwrap().json()["messageId"],
        "msg_of_before"
    );
    let whole = post(CHAT)
        .set("messages", json!([question, reply_so_far]))
        .set("stream", false.into());
    assert_eq!(
        proxy.client.ask(&whole).await.json().await["id"],
        "msg_of_before"
    );
    let mut reply = proxy
        .client
        .ask(&post(CHAT).set("messages", json!([question, reply_so_far, question])))
        .await;
    let id = format!("msg_{}", reply.stream_id());
    assert_eq!(
        reply.event().await.unwrap().json()["messageId"],
        id,
        "a new message has an id of its own"
    );
}

#[tokio::test]
async fn a_disconnected_chat_reader_has_a_grace_period() {
    let clock = VirtualClock::start();
    let (upstream, proxy) = gated(WireId::OpenaiChat).await;
    let mut reply = proxy.client.ask(&post(CHAT)).await;
    upstream.open(1);
    first_token(&mut reply).await;
    let id = reply.stream_id();
    drop(reply);
    clock.advance(Duration::from_secs(10)).await;
    let mut again = proxy.client.ask(&resume(CHAT)).await;
    first_token(&mut again).await;
    drop(again);
    clock
        .takes_at_most(LATER, "the upstream to be closed", upstream.closed(0))
        .await;
    assert_eq!(
        proxy.client.until_status(&id, "cancelled").await["reason"],
        "cancelled"
    );
    // The partial answer can still be replayed.
    assert!(
        proxy
            .client
            .ask(&resume(CHAT))
            .await
            .received()
            .await
            .is_cancelled()
    );
}

#[tokio::test]
async fn a_failure_is_replayed_at_most_once() {
    let refusal = encode::refusal(WireId::OpenaiChat, 500, "not now").to_string();
    let upstream = Upstream::always(crate::rig::upstream::json(500, refusal)).await;
    let proxy = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("models.m", "retries = 0")
        .start()
        .await;
    let reply = proxy.client.ask(&post(CHAT)).await;
    assert_ui_head(&reply);
    let id = reply.stream_id();
    drop(reply);
    proxy.client.until_status(&id, "failed").await;
    // The first reader may or may not have received the failure before it left; a returning reader
    // receives it at most once.
    let mut again = proxy.client.ask(&resume(CHAT)).await;
    assert!(again.status == 204 || again.received().await.is_failure());
    assert_no_stream(&proxy.client, CHAT).await;
}
