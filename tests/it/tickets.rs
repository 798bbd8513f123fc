//! Tickets: a page follows and stops one stream without a key, and nothing else.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sluicegate::auth::ticket::Rights;
use sluicegate::auth::{Asking, Auth};

use crate::rig::{Ask, Client, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Upstream, WireId};

const ANN: &str = "ann-0123456789abcdef";
const SHARED: &str = "a secret that all the instances have";

fn setup(upstream: &Upstream) -> Setup {
    Setup::new()
        .over(WireId::OpenaiChat, upstream)
        .section(
            "server",
            "allowed_origins = [\"https://chat.example\", \"https://other.example\"]",
        )
        .section(
            "auth",
            &format!("mode = \"required\"\nticket_secret = \"{SHARED}\""),
        )
        .section("keys.ann", &format!("secret = \"{ANN}\""))
}

async fn ticket(client: &Client, id: &str, order: Value) -> String {
    let mut reply = client
        .ask(&Ask::new("POST", format!("/v1/streams/{id}/ticket")).json(&order))
        .await;
    let body = reply.json().await;
    assert_eq!(
        (reply.status, reply.header("cache-control")),
        (201, Some("no-store")),
        "{body}"
    );
    assert!(body["expires"].as_u64().is_some());
    body["ticket"].as_str().unwrap().to_owned()
}

fn read(id: &str, ticket: &str) -> Ask {
    Ask::new("GET", format!("/v1/streams/{id}?ticket={ticket}"))
}

fn stop(id: &str, ticket: &str) -> Ask {
    Ask::new("POST", format!("/v1/streams/{id}/cancel?ticket={ticket}"))
}

/// Status and body, the body read to its end.
async fn said(mut reply: Reply) -> (u16, String) {
    (reply.status, reply.text().await)
}

async fn status(client: &Client, ask: &Ask) -> u16 {
    said(client.ask(ask).await).await.0
}

/// A stream of Ann's that runs until the gate is opened.
async fn running(upstream: &Upstream, proxy: &Proxy) -> String {
    upstream.open(2);
    let ask = Ask::chat(Speech::Events, "m", true)
        .header("x-on-disconnect", "continue")
        .header("prefer", "respond-async");
    proxy.client.with_key(ANN).ask(&ask).await.stream_id()
}

#[tokio::test]
async fn a_stream_is_followed_in_any_dialect_and_stopped_by_ticket() {
    let upstream = Upstream::start(Say::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = setup(&upstream).start().await;
    let id = running(&upstream, &proxy).await;
    let ann = proxy.client.with_key(ANN);
    let (both, plain) = (
        ticket(
            &ann,
            &id,
            json!({"rights": ["read", "cancel"], "ttl": "1m"}),
        )
        .await,
        ticket(&ann, &id, json!({})).await,
    );
    let empty = ann
        .ask(&Ask::new("POST", format!("/v1/streams/{id}/ticket")))
        .await;
    assert_eq!(empty.status, 201, "no body is needed");
    let nobody = &proxy.client;
    for ticket in [&both, &plain] {
        assert_eq!(status(nobody, &read(&id, ticket)).await, 200);
        assert_eq!(
            nobody
                .ask(&Ask::new(
                    "HEAD",
                    format!("/v1/streams/{id}?ticket={ticket}")
                ))
                .await
                .status,
            200
        );
    }
    assert_eq!(status(nobody, &read(&id, "")).await, 401);
    assert_eq!(nobody.get(&format!("/v1/streams/{id}")).await.status, 401);
    assert_eq!(
        status(nobody, &stop(&id, &plain)).await,
        401,
        "to read is not to stop"
    );
    assert_eq!(ann.status(&id).await["status"], "running");
    let mut followers = Vec::new();
    for speech in Speech::ALL {
        let path = format!("/v1/streams/{id}?ticket={plain}&dialect={}", speech.name());
        let mut reply = nobody
            .ask(
                &Ask::new("GET", path)
                    .header("accept", "text/event-stream")
                    .read_as(speech),
            )
            .await;
        assert_eq!(reply.status, 200);
        reply.until(|told| !told.text().is_empty()).await;
        followers.push((speech, reply));
    }
    let (code, body) = said(nobody.ask(&stop(&id, &both)).await).await;
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &told["status"]), (200, &json!("cancelled")));
    upstream.closed(0).await;
    for (speech, mut reply) in followers {
        let _scene = Scene::of(format!("{speech:?}"));
        let told = reply.told().await;
        assert!(!told.cut, "{told:?}");
    }
}

#[tokio::test]
async fn an_eventsource_comes_back_with_its_ticket() {
    let upstream = Upstream::start(Say::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = setup(&upstream).start().await;
    let id = running(&upstream, &proxy).await;
    let ticket = ticket(&proxy.client.with_key(ANN), &id, json!({})).await;
    let follow = |last: Option<&str>| {
        let ask = read(&id, &ticket)
            .header("accept", "text/event-stream")
            .read_as(Speech::Events);
        last.map_or(ask.clone(), |last| ask.header("last-event-id", last))
    };
    let mut first = proxy.client.ask(&follow(None)).await;
    let seen = first.until(|told| !told.text().is_empty()).await;
    first.abort();
    let last = seen.last().unwrap().id.clone().unwrap();
    upstream.open(20);
    let mut second = proxy.client.ask(&follow(Some(&last))).await;
    let (rest, _) = second.events().await;
    let end = rest.last().unwrap().id.clone().unwrap();
    let told = crate::rig::Told::of(Speech::Events, &[seen, rest].concat());
    assert!(told.is_success(), "{told:?}");
    assert_eq!(
        proxy.client.ask(&follow(Some(&end))).await.status,
        204,
        "at the very end it is told to stop"
    );
}

#[tokio::test]
async fn a_ticket_opens_nothing_but_its_own_stream() {
    let upstream = Upstream::start(Say::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = setup(&upstream).start().await;
    let (one, other) = (
        running(&upstream, &proxy).await,
        running(&upstream, &proxy).await,
    );
    let ann = proxy.client.with_key(ANN);
    let ticket = ticket(&ann, &one, json!({"rights": ["read", "cancel"]})).await;
    let unknown = "a".repeat(26);
    for make in [read, stop] {
        let mut answers = Vec::new();
        for id in [&other, &unknown] {
            let (status, body) = said(proxy.client.ask(&make(id, &ticket)).await).await;
            answers.push((status, body.replace(id.as_str(), "<id>")));
        }
        assert_eq!(
            answers[0], answers[1],
            "another's stream is as one that never was"
        );
        assert_eq!(answers[0].0, 404);
    }
    for (method, path) in [
        ("DELETE", format!("/v1/streams/{one}")),
        ("POST", format!("/v1/streams/{one}/ticket")),
        ("GET", "/v1/streams".into()),
        ("GET", "/v1/models".into()),
        ("GET", format!("/v1/responses/{one}")),
        ("POST", format!("/v1/responses/{one}/cancel")),
        ("POST", "/v1/streams".into()),
    ] {
        assert_eq!(
            status(
                &proxy.client,
                &Ask::new(method, format!("{path}?ticket={ticket}"))
            )
            .await,
            401,
            "{method} {path}"
        );
    }
    assert_eq!(
        status(&proxy.client.with_key("wrong"), &read(&one, &ticket)).await,
        401,
        "a key that is sent is what counts"
    );
    assert_eq!(ann.status(&other).await["status"], "running");
    assert_eq!(ann.forget(&one).await.status, 204);
    assert_eq!(
        status(&proxy.client, &read(&one, &ticket)).await,
        404,
        "what is forgotten is gone for a ticket, too"
    );
}

/// A ticket as another instance with that secret would make it.
async fn made_elsewhere(setup: &Setup, secret: &str, id: &str, ends: SystemTime) -> String {
    let mut settings = setup.config().auth;
    settings.ticket_secret = Some(secret.into());
    let auth = Auth::new(&settings, None).unwrap();
    let headers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("x-api-key"),
        ANN.parse().unwrap(),
    )]);
    let caller = auth
        .identify(&Asking {
            method: &http::Method::POST,
            headers: &headers,
            trusted_page: false,
        })
        .await
        .unwrap();
    let stream = sluicegate::model::ids::StreamId::parse(id).unwrap();
    auth.issue(
        &caller,
        &stream,
        Rights {
            read: true,
            cancel: true,
        },
        None,
        ends,
    )
}

#[tokio::test]
async fn a_ticket_ends_and_cannot_be_changed() {
    let upstream = Upstream::start(Say::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let setup = setup(&upstream);
    let proxy = setup.clone().start().await;
    let id = running(&upstream, &proxy).await;
    let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
    let good = made_elsewhere(&setup, SHARED, &id, now + minute).await;
    assert_eq!(
        status(&proxy.client, &read(&id, &good)).await,
        200,
        "an instance with the same secret made it"
    );
    let over = made_elsewhere(&setup, SHARED, &id, now - Duration::from_secs(1)).await;
    let foreign = made_elsewhere(
        &setup,
        "another secret that nobody has but me",
        &id,
        now + minute,
    )
    .await;
    let mut bodies = Vec::new();
    let flipped = if good.starts_with('A') {
        good.replacen('A', "B", 1)
    } else {
        format!("A{}", good.chars().skip(1).collect::<String>())
    };
    for bad in [
        over,
        foreign,
        flipped,
        good.chars().skip(1).collect(),
        format!("{good}A"),
        "x".into(),
        "%00".into(),
        "A".repeat(4000),
    ] {
        for ask in [read(&id, &bad), stop(&id, &bad)] {
            let (status, body) = said(proxy.client.ask(&ask).await).await;
            assert_eq!(status, 401, "{bad}");
            bodies.push(body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(
        proxy.client.with_key(ANN).status(&id).await["status"],
        "running"
    );
}

#[tokio::test]
async fn a_ticket_for_a_page_is_good_from_no_other() {
    let upstream = Upstream::start(Say::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = setup(&upstream).start().await;
    let id = running(&upstream, &proxy).await;
    let ann = proxy.client.with_key(ANN);
    let own = format!("http://{}", proxy.running.addr());
    let order = |origin: &str| json!({"rights": ["read", "cancel"], "origin": origin});
    let (theirs, ours) = (
        ticket(&ann, &id, order("https://chat.example")).await,
        ticket(&ann, &id, order(&own)).await,
    );
    for (ticket, fields, status) in [
        (&theirs, &[("origin", "https://chat.example")][..], 200),
        (&theirs, &[("origin", "https://other.example")], 403),
        (&theirs, &[("origin", "https://evil.example")], 403),
        (&theirs, &[("origin", &own)], 403),
        (&theirs, &[], 403),
        (&theirs, &[("sec-fetch-site", "same-origin")], 403),
        (&ours, &[("sec-fetch-site", "same-origin")], 200),
        (&ours, &[("origin", &own)], 200),
        (&ours, &[], 403),
    ] {
        let ask = fields.iter().fold(read(&id, ticket), |ask, (name, value)| {
            ask.header(name, value)
        });
        assert_eq!(
            self::status(&proxy.client, &ask).await,
            status,
            "{fields:?}"
        );
    }
    let evil = stop(&id, &theirs).header("origin", "https://other.example");
    let (status, body) = said(proxy.client.ask(&evil).await).await;
    assert!(
        status == 403 && body.contains("origin_not_allowed"),
        "{body}"
    );
    assert_eq!(ann.status(&id).await["status"], "running");
}

#[tokio::test]
async fn bad_orders_are_named() {
    let upstream = Upstream::start(Say::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = setup(&upstream).start().await;
    let ann = proxy.client.with_key(ANN);
    let id = ann
        .ask(&Ask::chat(Speech::Events, "m", false))
        .await
        .stream_id();
    for (order, param) in [
        (json!({"ttl": "2h"}), json!("ttl")),
        (json!({"ttl": "0s"}), json!("ttl")),
        (json!({"origin": "chat.example"}), json!("origin")),
        (json!({"rights": ["cancel"]}), json!("rights")),
        (json!({"rights": ["write"]}), Value::Null),
        (json!([]), Value::Null),
    ] {
        let mut reply = ann
            .ask(&Ask::new("POST", format!("/v1/streams/{id}/ticket")).json(&order))
            .await;
        let body = reply.json().await;
        assert_eq!(
            (reply.status, &body["error"]["param"]),
            (400, &param),
            "{order}: {body}"
        );
    }
    let text = Ask::new("POST", format!("/v1/streams/{id}/ticket")).raw("text/plain", "{}");
    assert_eq!(status(&ann, &text).await, 415);
    let other = proxy.client.get(&format!("/v1/streams/{id}/ticket")).await;
    assert_eq!((other.status, other.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn a_revoked_key_ends_its_tickets_and_not_its_streams() {
    let upstream = Upstream::start(Say::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let setup = setup(&upstream);
    let proxy = setup.clone().start().await;
    let id = running(&upstream, &proxy).await;
    let ticket = ticket(
        &proxy.client.with_key(ANN),
        &id,
        json!({"rights": ["read", "cancel"]}),
    )
    .await;
    let mut follower = proxy
        .client
        .ask(
            &read(&id, &ticket)
                .header("accept", "text/event-stream")
                .read_as(Speech::Events),
        )
        .await;
    follower.until(|told| !told.text().is_empty()).await;
    proxy
        .running
        .reload(
            setup
                .clone()
                .section("keys.ann", "disabled = true")
                .config(),
        )
        .unwrap();
    assert_eq!(
        (
            status(&proxy.client, &read(&id, &ticket)).await,
            status(&proxy.client, &stop(&id, &ticket)).await
        ),
        (401, 401)
    );
    upstream.open(20);
    let (events, _) = follower.events().await;
    assert_eq!(events.last().unwrap().name, "end", "who reads, reads on");
    proxy.running.reload(setup.config()).unwrap();
    assert_eq!(status(&proxy.client, &read(&id, &ticket)).await, 200);
}

#[tokio::test]
async fn where_nobody_needs_a_key_tickets_work_the_same() {
    let upstream = Upstream::start(Say::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let id = proxy
        .client
        .ask(&Ask::chat(Speech::Events, "m", false))
        .await
        .stream_id();
    let bound = ticket(
        &proxy.client,
        &id,
        json!({"origin": "https://chat.example"}),
    )
    .await;
    let free = ticket(&proxy.client, &id, json!({})).await;
    assert_eq!(status(&proxy.client, &read(&id, &free)).await, 200);
    assert_eq!(status(&proxy.client, &read(&id, &bound)).await, 403);
    assert_eq!(status(&proxy.client, &read(&id, "wrong")).await, 401);
}

#[tokio::test]
async fn the_operator_stops_what_a_revoked_key_began() {
    let upstream = Upstream::start(Say::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = setup(&upstream).start().await;
    let id = running(&upstream, &proxy).await;
    let ann = proxy.client.with_key(ANN);
    let mut reader = ann.follow(Speech::Events, &id).await;
    reader.until(|told| !told.text().is_empty()).await;
    proxy
        .running
        .reload(
            setup(&upstream)
                .section("keys.ann", "disabled = true")
                .config(),
        )
        .unwrap();
    assert_eq!(
        ann.cancel(&id).await.status,
        401,
        "her own cancel needs a valid key"
    );

    let operator = Client::of(proxy.running.admin_addr().unwrap());
    let order = Ask::new("POST", format!("/api/streams/{id}/cancel"));
    let mut stopped = operator.ask(&order).await;
    let told = stopped.json().await;
    assert_eq!(
        (stopped.status, &told["status"], &told["upstream"]),
        (200, &json!("cancelled"), &json!("closed")),
        "{told}"
    );
    assert!(
        told["text"].is_null(),
        "what it said is not the operator's: {told}"
    );
    assert!(reader.told().await.is_cancelled());
    assert_eq!(status(&operator, &order).await, 200, "again");
    let unknown = Ask::new("POST", "/api/streams/aaaaaaaaaaaaaaaaaaaaaaaaaa/cancel");
    assert_eq!(status(&operator, &unknown).await, 404);
}
