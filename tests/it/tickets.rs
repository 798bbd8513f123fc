//! Tickets: a page follows and cancels one stream without a key, and nothing else.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sluicegate::auth::ticket::Rights;
use sluicegate::auth::{Auth, AuthRequest};

use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Reply, Request, Setup, Upstream, WireId,
};

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
        .ask(&Request::new("POST", format!("/v1/streams/{id}/ticket")).json(&order))
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

fn read(id: &str, ticket: &str) -> Request {
    Request::new("GET", format!("/v1/streams/{id}?ticket={ticket}"))
}

fn stop(id: &str, ticket: &str) -> Request {
    Request::new("POST", format!("/v1/streams/{id}/cancel?ticket={ticket}"))
}

/// Returns status and body, the body read to its end.
async fn status_and_body(mut reply: Reply) -> (u16, String) {
    (reply.status, reply.text().await)
}

async fn status(client: &Client, request: &Request) -> u16 {
    status_and_body(client.ask(request).await).await.0
}

/// Starts a stream of Ann's that runs until the gate is opened. Returns its id.
async fn running(upstream: &Upstream, proxy: &Proxy) -> String {
    upstream.open(2);
    let request = Request::chat(Dialect::Events, "m", true)
        .header("x-on-disconnect", "continue")
        .header("prefer", "respond-async");
    proxy.client.with_key(ANN).ask(&request).await.stream_id()
}

#[tokio::test]
async fn a_stream_is_followed_in_any_dialect_and_cancelled_by_ticket() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
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
        .ask(&Request::new("POST", format!("/v1/streams/{id}/ticket")))
        .await;
    assert_eq!(empty.status, 201, "no body is needed");
    let nobody = &proxy.client;
    for ticket in [&both, &plain] {
        assert_eq!(status(nobody, &read(&id, ticket)).await, 200);
        assert_eq!(
            nobody
                .ask(&Request::new(
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
        "a read ticket cannot cancel"
    );
    assert_eq!(ann.status(&id).await["status"], "running");
    let mut followers = Vec::new();
    for dialect in Dialect::ALL {
        let path = format!("/v1/streams/{id}?ticket={plain}&dialect={}", dialect.name());
        let mut reply = nobody
            .ask(
                &Request::new("GET", path)
                    .header("accept", "text/event-stream")
                    .read_as(dialect),
            )
            .await;
        assert_eq!(reply.status, 200);
        reply.until(|received| !received.text().is_empty()).await;
        followers.push((dialect, reply));
    }
    let (code, body) = status_and_body(nobody.ask(&stop(&id, &both)).await).await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &status["status"]), (200, &json!("cancelled")));
    upstream.closed(0).await;
    for (dialect, mut reply) in followers {
        let _case = Case::new(format!("{dialect:?}"));
        let received = reply.received().await;
        assert!(!received.cut, "{received:?}");
    }
}

#[tokio::test]
async fn an_event_source_reconnects_with_its_ticket() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = setup(&upstream).start().await;
    let id = running(&upstream, &proxy).await;
    let ticket = ticket(&proxy.client.with_key(ANN), &id, json!({})).await;
    let follow = |last: Option<&str>| {
        let request = read(&id, &ticket)
            .header("accept", "text/event-stream")
            .read_as(Dialect::Events);
        last.map_or(request.clone(), |last| {
            request.header("last-event-id", last)
        })
    };
    let mut first = proxy.client.ask(&follow(None)).await;
    let seen = first.until(|received| !received.text().is_empty()).await;
    first.abort();
    let last = seen.last().unwrap().id.clone().unwrap();
    upstream.open(20);
    let mut second = proxy.client.ask(&follow(Some(&last))).await;
    let (rest, _) = second.events().await;
    let end = rest.last().unwrap().id.clone().unwrap();
    let received = crate::rig::Received::from_events(Dialect::Events, &[seen, rest].concat());
    assert!(received.is_success(), "{received:?}");
    assert_eq!(
        proxy.client.ask(&follow(Some(&end))).await.status,
        204,
        "at the very end the response makes the client stop reconnecting"
    );
}

#[tokio::test]
async fn a_ticket_grants_access_to_its_own_stream_only() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
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
            let (status, body) = status_and_body(proxy.client.ask(&make(id, &ticket)).await).await;
            answers.push((status, body.replace(id.as_str(), "<id>")));
        }
        assert_eq!(
            answers[0], answers[1],
            "another stream looks like an unknown one"
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
                &Request::new(method, format!("{path}?ticket={ticket}"))
            )
            .await,
            401,
            "{method} {path}"
        );
    }
    assert_eq!(
        status(&proxy.client.with_key("wrong"), &read(&one, &ticket)).await,
        401,
        "an explicit key takes precedence over the ticket"
    );
    assert_eq!(ann.status(&other).await["status"], "running");
    assert_eq!(ann.forget(&one).await.status, 204);
    assert_eq!(
        status(&proxy.client, &read(&one, &ticket)).await,
        404,
        "a deleted stream is gone for tickets too"
    );
}

/// Issues a ticket as another instance with that secret would.
async fn made_elsewhere(setup: &Setup, secret: &str, id: &str, ends: SystemTime) -> String {
    let mut settings = setup.config().auth;
    settings.ticket_secret = Some(secret.into());
    let auth = Auth::new(&settings, None).unwrap();
    let headers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("x-api-key"),
        ANN.parse().unwrap(),
    )]);
    let caller = auth
        .identify(&AuthRequest {
            method: &http::Method::POST,
            headers: &headers,
            trusted_page: false,
        })
        .await
        .unwrap();
    let stream = sluicegate::model::ids::StreamId::parse(id).unwrap();
    auth.issue_ticket(
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
async fn a_ticket_expires_and_cannot_be_changed() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
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
        for request in [read(&id, &bad), stop(&id, &bad)] {
            let (status, body) = status_and_body(proxy.client.ask(&request).await).await;
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
async fn a_ticket_for_one_origin_is_rejected_from_others() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
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
        let request = fields
            .iter()
            .fold(read(&id, ticket), |request, (name, value)| {
                request.header(name, value)
            });
        assert_eq!(
            self::status(&proxy.client, &request).await,
            status,
            "{fields:?}"
        );
    }
    let evil = stop(&id, &theirs).header("origin", "https://other.example");
    let (status, body) = status_and_body(proxy.client.ask(&evil).await).await;
    assert!(
        status == 403 && body.contains("origin_not_allowed"),
        "{body}"
    );
    assert_eq!(ann.status(&id).await["status"], "running");
}

#[tokio::test]
async fn invalid_ticket_orders_name_the_field() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = setup(&upstream).start().await;
    let ann = proxy.client.with_key(ANN);
    let id = ann
        .ask(&Request::chat(Dialect::Events, "m", false))
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
            .ask(&Request::new("POST", format!("/v1/streams/{id}/ticket")).json(&order))
            .await;
        let body = reply.json().await;
        assert_eq!(
            (reply.status, &body["error"]["param"]),
            (400, &param),
            "{order}: {body}"
        );
    }
    let text = Request::new("POST", format!("/v1/streams/{id}/ticket")).raw("text/plain", "{}");
    assert_eq!(status(&ann, &text).await, 415);
    let other = proxy.client.get(&format!("/v1/streams/{id}/ticket")).await;
    assert_eq!((other.status, other.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn a_revoked_key_ends_its_tickets_but_not_its_streams() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
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
                .read_as(Dialect::Events),
        )
        .await;
    follower.until(|received| !received.text().is_empty()).await;
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
    assert_eq!(
        events.last().unwrap().name,
        "end",
        "a connected reader keeps reading"
    );
    proxy.running.reload(setup.config()).unwrap();
    assert_eq!(status(&proxy.client, &read(&id, &ticket)).await, 200);
}

#[tokio::test]
async fn tickets_work_without_required_keys() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let id = proxy
        .client
        .ask(&Request::chat(Dialect::Events, "m", false))
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
async fn the_operator_cancels_the_stream_of_a_revoked_key() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = setup(&upstream).start().await;
    let id = running(&upstream, &proxy).await;
    let ann = proxy.client.with_key(ANN);
    let mut reader = ann.follow(Dialect::Events, &id).await;
    reader.until(|received| !received.text().is_empty()).await;
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

    let operator = Client::new(proxy.running.admin_addr().unwrap());
    let order = Request::new("POST", format!("/api/streams/{id}/cancel"));
    let mut stopped = operator.ask(&order).await;
    let body = stopped.json().await;
    assert_eq!(
        (stopped.status, &body["status"], &body["upstream"]),
        (200, &json!("cancelled"), &json!("closed")),
        "{body}"
    );
    assert!(
        body["text"].is_null(),
        "the operator does not see the content: {body}"
    );
    assert!(reader.received().await.is_cancelled());
    assert_eq!(status(&operator, &order).await, 200, "again");
    let unknown = Request::new("POST", "/api/streams/aaaaaaaaaaaaaaaaaaaaaaaaaa/cancel");
    assert_eq!(status(&operator, &unknown).await, 404);
}
