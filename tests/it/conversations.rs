//! Conversations by the client's own id: what `useChat` asks of its server beside new answers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::upstream::Close;
use crate::rig::{
    Ask, Client, Ending, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Told, Upstream, Virtual,
    WireId, name, say, wires, within,
};

/// An id as `useChat` makes them: 16 characters.
const CHAT: &str = "k3Jq8ZxWv0PbN5Lr";
const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";
const TOKENS: usize = 8;
/// Longer than any grace.
const LATER: Duration = Duration::from_secs(60);

/// A message sent to a chat.
fn post(chat: &str) -> Ask {
    Ask::chat(Speech::Ui, "m", true).set("id", chat.into())
}

fn resume(chat: &str) -> Ask {
    Ask::new("GET", format!("/v1/ui/chat/{chat}/stream")).read_as(Speech::Ui)
}

/// A stop of whatever runs, or of the stream that is named.
async fn stop(client: &Client, chat: &str, stream: Option<&str>) -> (u16, Value) {
    let ask = Ask::new("POST", format!("/v1/ui/chat/{chat}/stop"));
    let ask = stream.map_or(ask.clone(), |id| ask.json(&json!({"stream": id})));
    let mut reply = client.ask(&ask).await;
    let body = reply.json().await;
    (reply.status, body)
}

fn stopped(stopped: bool) -> (u16, Value) {
    (200, json!({"stopped": stopped}))
}

/// Nothing is there to go on with.
async fn nothing(client: &Client, chat: &str) {
    let mut reply = client.ask(&resume(chat)).await;
    assert_eq!((reply.status, reply.text().await.as_str()), (204, ""));
}

async fn first_token(reply: &mut Reply) {
    reply.until(|told| told.text().contains("tok")).await;
}

fn ui_head(reply: &Reply) {
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-vercel-ai-ui-message-stream"), Some("v1"));
    assert!(
        reply
            .header("content-type")
            .is_some_and(|it| it.starts_with("text/event-stream"))
    );
}

/// A proxy whose upstream waits at a gate before each token.
async fn gated(wire: WireId) -> (Upstream, Proxy) {
    let upstream = Upstream::start(Say::tokens(TOKENS).script(wire, Pace::Gate)).await;
    let proxy = Proxy::over(wire, &upstream).await;
    (upstream, proxy)
}

/// Waits until it has been noticed that nobody reads.
async fn unread(proxy: &Proxy) {
    let waiting = async {
        while proxy.running.gauges().readers > 0 {
            tokio::task::yield_now().await;
        }
    };
    within("nobody to read", waiting).await;
}

#[tokio::test]
async fn a_running_answer_is_replayed_from_its_start() {
    for wire in wires() {
        let _scene = Scene::of(format!("{wire:?}"));
        let (upstream, proxy) = gated(wire).await;
        let mut reply = proxy.client.ask(&post(CHAT)).await;
        ui_head(&reply);
        upstream.open(3);
        let mut first = reply
            .until(|told| told.text().matches("tok").count() >= 3)
            .await;
        assert_eq!(first[0].json()["type"], "start");
        // The page is reloaded …
        let mut again = proxy.client.ask(&resume(CHAT)).await;
        ui_head(&again);
        assert_eq!(again.stream_id(), reply.stream_id());
        // … while the answer goes on.
        upstream.open(TOKENS);
        let (rest, ending) = reply.events().await;
        first.extend(rest);
        let (whole, again) = again.events().await;
        assert_eq!((ending, again), (Ending::Proper, Ending::Proper));
        assert_eq!(whole, first, "a replay is what the first reader was told");
        let told = Told::of(Speech::Ui, &whole);
        assert!(
            told.is_success() && told.text() == Say::tokens(TOKENS).text(),
            "{told:?}"
        );
        nothing(&proxy.client, CHAT).await;
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
    // The head alone is no reading.
    let head = proxy
        .client
        .ask(&Ask::new("HEAD", format!("/v1/ui/chat/{CHAT}/stream")))
        .await;
    ui_head(&head);
    let told = proxy.client.ask(&resume(CHAT)).await.told().await;
    assert!(
        told.is_success() && told.text() == Say::tokens(TOKENS).text(),
        "{told:?}"
    );
    nothing(&proxy.client, CHAT).await;
}

#[tokio::test]
async fn a_chat_that_nobody_knows_has_nothing() {
    let (_upstream, proxy) = gated(WireId::OpenaiChat).await;
    nothing(&proxy.client, CHAT).await;
    assert_eq!(stop(&proxy.client, CHAT, None).await, stopped(false));
    assert_eq!(
        stop(&proxy.client, CHAT, Some("whatever")).await,
        stopped(false)
    );
    let mut reply = proxy
        .client
        .ask(&Ask::new("POST", format!("/v1/ui/chat/{CHAT}/stop")).json(&json!({"stream": 7})))
        .await;
    assert_eq!(
        (reply.status, &reply.json().await["error"]["param"]),
        (400, &json!("stream"))
    );
    for (method, path, allow) in [("POST", "stream", "GET, HEAD"), ("GET", "stop", "POST")] {
        let reply = proxy
            .client
            .ask(&Ask::new(method, format!("/v1/ui/chat/{CHAT}/{path}")))
            .await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)));
    }
}

#[tokio::test]
async fn a_new_message_ends_the_older_answer_only_where_nobody_reads_it() {
    let clock = Virtual::start();
    for read in [false, true] {
        let _scene = Scene::of(format!("the older one is read: {read}"));
        let (upstream, proxy) = gated(WireId::OpenaiChat).await;
        let mut older = proxy.client.ask(&post(CHAT)).await;
        upstream.open(1);
        first_token(&mut older).await;
        let id = older.stream_id();
        let older = Some(older).filter(|_| read);
        if !read {
            unread(&proxy).await;
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
            assert!(older.told().await.is_success());
        } else {
            clock
                .takes_at_most(
                    Duration::from_secs(1),
                    "the older answer's upstream to be let go",
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
            let _scene = Scene::of(format!("{wire:?}, named: {named:?}"));
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
            let told = reply.told().await;
            assert!(told.is_cancelled(), "{told:?}");
            assert_eq!(proxy.client.status(&id).await["upstream"], "closed");
            assert_eq!(
                stop(&proxy.client, CHAT, stream).await,
                stopped(false),
                "it is over"
            );
            proxy.at_rest().await;
        }
    }
}

#[tokio::test]
async fn a_late_stop_leaves_the_newer_answer_alone() {
    let (upstream, proxy) = gated(WireId::OpenaiChat).await;
    let mut older = proxy.client.ask(&post(CHAT)).await;
    upstream.open(2 * TOKENS);
    assert!(older.told().await.is_success());
    let mut newer = proxy.client.ask(&post(CHAT)).await;
    assert_eq!(
        stop(&proxy.client, CHAT, Some(&older.stream_id())).await,
        stopped(false)
    );
    upstream.open(2 * TOKENS);
    assert!(newer.told().await.is_success());
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_short_id_is_no_secret() {
    let (upstream, proxy) = gated(WireId::OpenaiChat).await;
    let short = CHAT.trim_start_matches('k');
    let mut reply = proxy.client.ask(&post(short)).await;
    upstream.open(1);
    first_token(&mut reply).await;
    nothing(&proxy.client, short).await;
    let (status, body) = stop(&proxy.client, short, None).await;
    assert_eq!(
        (status, &body["error"]["param"]),
        (400, &json!("chat")),
        "{body}"
    );
    upstream.open(TOKENS);
    assert!(reply.told().await.is_success(), "it ran on");
}

#[tokio::test]
async fn another_callers_chat_is_none() {
    let upstream =
        Upstream::start(Say::tokens(TOKENS).script(WireId::OpenaiChat, Pace::Gate)).await;
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
    nothing(&bob, CHAT).await;
    assert_eq!(stop(&bob, CHAT, None).await, stopped(false));
    assert_eq!(
        stop(&bob, CHAT, Some(&reply.stream_id())).await,
        stopped(false)
    );
    // Neither does a message of his own under the same id touch hers.
    let his = bob.ask(&post(CHAT)).await;
    assert_ne!(his.stream_id(), reply.stream_id());
    assert_eq!(proxy.client.ask(&resume(CHAT)).await.status, 401);
    assert_eq!(stop(&ann, CHAT, None).await, stopped(true));
    assert!(reply.told().await.is_cancelled());
    assert_eq!(bob.status(&his.stream_id()).await["status"], "running");
}

#[tokio::test]
async fn the_model_is_the_configurations_where_the_page_names_none() {
    let upstream = Upstream::start(Say::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let ask = post(CHAT).without("model");
    let proxy = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .start()
        .await;
    let mut reply = proxy.client.ask(&ask).await;
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
    assert!(proxy.client.ask(&ask).await.told().await.is_success());
    assert_eq!(upstream.call(0).json()["model"], "m-up");
    assert!(
        proxy
            .client
            .ask(&post(CHAT).set("model", "other".into()))
            .await
            .told()
            .await
            .is_success()
    );
    assert_eq!(upstream.call(1).json()["model"], "other-up");
    // It stands in for nobody else's model.
    assert_eq!(
        proxy
            .client
            .ask(&Ask::chat(Speech::Chat, "m", true).without("model"))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_further_step_is_of_the_same_message() {
    let upstream = Upstream::start(Say::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let asked =
        json!({"id": "m1", "role": "user", "parts": [{"type": "text", "text": "The time?"}]});
    let call = json!({"type": "tool-clock", "toolCallId": "c1", "state": "output-available", "input": {}, "output": "noon"});
    let said = json!({"id": "msg_of_before", "role": "assistant", "parts": [{"type": "step-start"}, call]});
    let mut reply = proxy
        .client
        .ask(&post(CHAT).set("messages", json!([asked, said])))
        .await;
    assert_eq!(
        reply.event().await.unwrap().json()["messageId"],
        "msg_of_before"
    );
    let whole = post(CHAT)
        .set("messages", json!([asked, said]))
        .set("stream", false.into());
    assert_eq!(
        proxy.client.ask(&whole).await.json().await["id"],
        "msg_of_before"
    );
    let mut reply = proxy
        .client
        .ask(&post(CHAT).set("messages", json!([asked, said, asked])))
        .await;
    let id = format!("msg_{}", reply.stream_id());
    assert_eq!(
        reply.event().await.unwrap().json()["messageId"],
        id,
        "a new message has an id of its own"
    );
}

#[tokio::test]
async fn a_reader_that_leaves_is_waited_for() {
    let clock = Virtual::start();
    let (upstream, proxy) = gated(WireId::OpenaiChat).await;
    let mut reply = proxy.client.ask(&post(CHAT)).await;
    upstream.open(1);
    first_token(&mut reply).await;
    let id = reply.stream_id();
    drop(reply);
    clock.pass(Duration::from_secs(10)).await;
    let mut again = proxy.client.ask(&resume(CHAT)).await;
    first_token(&mut again).await;
    drop(again);
    clock
        .takes_at_most(LATER, "the upstream to be let go", upstream.closed(0))
        .await;
    assert_eq!(
        proxy.client.until_status(&id, "cancelled").await["reason"],
        "cancelled"
    );
    // What there is of it can still be had.
    assert!(
        proxy
            .client
            .ask(&resume(CHAT))
            .await
            .told()
            .await
            .is_cancelled()
    );
}

#[tokio::test]
async fn a_failure_is_resumed_like_any_end() {
    let refusal = say::refusal(WireId::OpenaiChat, 500, "not now").to_string();
    let upstream = Upstream::always(crate::rig::upstream::json(500, refusal)).await;
    let proxy = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("models.m", "retries = 0")
        .start()
        .await;
    let reply = proxy.client.ask(&post(CHAT)).await;
    ui_head(&reply);
    let id = reply.stream_id();
    drop(reply);
    proxy.client.until_status(&id, "failed").await;
    // Whether the one that left was told in time or not: whoever comes back is told once at most.
    let mut again = proxy.client.ask(&resume(CHAT)).await;
    assert!(again.status == 204 || again.told().await.is_failure());
    nothing(&proxy.client, CHAT).await;
}
