//! Stopping: clients that disconnect or cancel, and what the upstream sees of it.

use std::time::Duration;

use serde_json::Value;

use crate::rig::upstream::{Close, Head, Step, json};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Received, Reply, Request, Setup, Upstream,
    VirtualClock, WireId, encode, name, pairs, settle,
};

/// Maximum time between a client's disconnect and the upstream's notice of it.
const AT_ONCE: Duration = Duration::from_millis(250);
/// Long enough for any retry, fallback or forgotten timer to act.
const LATER: Duration = Duration::from_secs(60);

fn has_five_tokens(received: &Received) -> bool {
    received.text().matches("tok").count() >= 5
}

/// The way in which a client disconnects.
#[derive(Debug, Clone, Copy)]
enum Leave {
    Close,
    Reset,
}

#[tokio::test]
async fn b01_the_client_disconnects_mid_stream() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for leave in [Leave::Close, Leave::Reset] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {leave:?}"));
            let upstream = Upstream::start(
                Answer::tokens(100).script(wire, Pace::Every(Duration::from_millis(20))),
            )
            .await;
            let spare = Upstream::silent().await;
            let proxy = Setup::new().over_two(wire, &upstream, &spare).start().await;
            let mut reply = proxy
                .client
                .ask_when_ready(
                    &clock,
                    &Request::chat(dialect, "m", true).cancel_on_disconnect(),
                )
                .await;
            clock
                .takes_at_most(LATER, "five tokens", reply.until(has_five_tokens))
                .await;
            let before = upstream.call(0).events;
            match leave {
                Leave::Close => drop(reply),
                Leave::Reset => reply.abort(),
            }
            clock
                .takes_at_most(AT_ONCE, "the upstream to be closed", upstream.closed(0))
                .await;
            assert!(
                upstream.call(0).events <= before + 1,
                "at most one more chunk is sent"
            );
            clock.advance(LATER).await;
            assert_eq!(
                (upstream.count(), spare.count()),
                (1, 0),
                "no other target is called"
            );
            proxy.at_rest().await;
        }
    }
}

/// The state of the upstream before its first content.
#[derive(Debug, Clone, Copy)]
enum Wait {
    Head,
    Content,
    NextAttempt,
}

impl Wait {
    fn script(self, wire: WireId) -> Vec<Step> {
        match self {
            Self::Head => vec![Step::Hang],
            Self::Content => [
                Answer::tokens(0).steps_until(wire, Pace::Flat, 0),
                vec![Step::Hang],
            ]
            .concat(),
            Self::NextAttempt => json(500, encode::refusal(wire, 500, "not now").to_string()),
        }
    }

    /// Waits until the upstream is in this state.
    async fn reached(self, upstream: &Upstream) {
        upstream.requests(1).await;
        if matches!(self, Self::NextAttempt) {
            upstream.ended(0).await;
        }
        settle().await;
    }
}

/// A proxy with three retries and a fallback target.
async fn retrying_proxy(wire: WireId, upstream: &Upstream, spare: &Upstream) -> Proxy {
    Setup::new()
        .over_two(wire, upstream, spare)
        .section("models.m", "retries = 3")
        .start()
        .await
}

#[tokio::test]
async fn b02_the_client_disconnects_before_any_content() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for wait in [Wait::Head, Wait::Content, Wait::NextAttempt] {
            left_waiting(&clock, dialect, wire, wait, true).await;
        }
    }
}

/// Sends a request, waits, and disconnects before any answer.
async fn left_waiting(
    clock: &VirtualClock,
    dialect: Dialect,
    wire: WireId,
    wait: Wait,
    stream: bool,
) {
    let _case = Case::new(format!(
        "{dialect:?} over {wire:?}, waiting for {wait:?}, stream: {stream}"
    ));
    let upstream = Upstream::always(wait.script(wire)).await;
    let spare = Upstream::silent().await;
    let proxy = retrying_proxy(wire, &upstream, &spare).await;
    let connection = proxy
        .client
        .send(&Request::chat(dialect, "m", stream).cancel_on_disconnect())
        .await;
    wait.reached(&upstream).await;
    let asked = upstream.count();
    drop(connection);
    if !matches!(wait, Wait::NextAttempt) {
        clock
            .takes_at_most(AT_ONCE, "the upstream to be closed", upstream.closed(0))
            .await;
    }
    clock.advance(LATER).await;
    assert_eq!(
        (upstream.count(), spare.count()),
        (asked, 0),
        "no retry and no fallback starts"
    );
    proxy.at_rest().await;
}

#[tokio::test]
async fn b03_the_client_of_a_non_streaming_request_disconnects() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for wait in [Wait::Head, Wait::NextAttempt] {
            left_waiting(&clock, dialect, wire, wait, false).await;
        }
        let _case = Case::new(format!(
            "{dialect:?} over {wire:?}, in the middle of the answer"
        ));
        let upstream = Upstream::start(move |call, _| half(wire, call.wants_stream())).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let connection = proxy
            .client
            .send(&Request::chat(dialect, "m", false).cancel_on_disconnect())
            .await;
        upstream.wrote(0, 1).await;
        settle().await;
        drop(connection);
        clock
            .takes_at_most(AT_ONCE, "the upstream to be closed", upstream.closed(0))
            .await;
        clock.advance(LATER).await;
        assert_eq!(upstream.count(), 1);
        proxy.at_rest().await;
    }
}

/// The first half of an answer, then silence.
fn half(wire: WireId, stream: bool) -> Vec<Step> {
    let mut steps = if stream {
        Answer::tokens(9).steps_until(wire, Pace::Flat, 5)
    } else {
        vec![
            Step::Head(Head::ok("application/json")),
            Step::Write("{\"id\":\"chatcmpl-up\",\"choices\":".into()),
        ]
    };
    steps.push(Step::Hang);
    steps
}

/// The moment of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeRegistration,
    BeforeHeaders,
    BetweenAttempts,
    MidStream,
    AfterTheEnd,
}

impl Moment {
    const ALL: [Self; 5] = [
        Self::BeforeRegistration,
        Self::BeforeHeaders,
        Self::BetweenAttempts,
        Self::MidStream,
        Self::AfterTheEnd,
    ];

    async fn upstream(self, wire: WireId) -> Upstream {
        match self {
            Self::BeforeRegistration | Self::BeforeHeaders => Upstream::silent().await,
            Self::BetweenAttempts => Upstream::always(Wait::NextAttempt.script(wire)).await,
            Self::MidStream => {
                Upstream::start(move |call, _| half(wire, call.wants_stream())).await
            }
            Self::AfterTheEnd => Upstream::start(Answer::tokens(5).script(wire, Pace::Flat)).await,
        }
    }

    async fn reached(self, upstream: &Upstream) {
        match self {
            Self::BeforeRegistration => {}
            Self::BeforeHeaders => Wait::Head.reached(upstream).await,
            Self::BetweenAttempts => Wait::NextAttempt.reached(upstream).await,
            Self::MidStream => upstream.wrote(0, 1).await,
            Self::AfterTheEnd => upstream.ended(0).await,
        }
        settle().await;
    }

    /// Maximum number of calls to the upstream.
    const fn calls(self) -> usize {
        if matches!(self, Self::BeforeRegistration) {
            0
        } else {
            1
        }
    }
}

#[tokio::test]
async fn b04_cancel_by_id_at_every_moment() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for stream in [true, false] {
            for moment in Moment::ALL {
                let _case = Case::new(format!(
                    "{dialect:?} over {wire:?}, stream: {stream}, {moment:?}"
                ));
                cancelled_at(&clock, dialect, wire, stream, moment).await;
            }
        }
    }
}

async fn cancelled_at(
    clock: &VirtualClock,
    dialect: Dialect,
    wire: WireId,
    stream: bool,
    moment: Moment,
) {
    let upstream = moment.upstream(wire).await;
    let spare = Upstream::silent().await;
    let proxy = retrying_proxy(wire, &upstream, &spare).await;
    let client = &proxy.client;
    let id = name(1);
    if moment == Moment::BeforeRegistration {
        assert_eq!(
            client.cancel(&id).await.status,
            404,
            "the stream does not exist yet"
        );
    }
    let connection = client
        .send(&Request::chat(dialect, "m", stream).named(&id))
        .await;
    moment.reached(&upstream).await;
    if moment == Moment::AfterTheEnd {
        client.until_status(&id, "completed").await;
    } else if moment == Moment::BeforeRegistration {
        client.until_status(&id, "cancelled").await;
    }
    let (first, second) = (cancel(client, &id).await, cancel(client, &id).await);
    let mut watcher = client.follow(Dialect::Events, &id).await;
    assert_eq!(
        first["status"], second["status"],
        "cancelling again changes nothing"
    );
    assert_eq!(first["usage"], second["usage"], "nothing is settled twice");
    assert!(
        ended_as(moment, &watcher.received().await),
        "another reader gets the same end"
    );
    answered(moment, dialect, stream, connection.head().await).await;
    if matches!(moment, Moment::BeforeHeaders | Moment::MidStream) {
        assert!(
            matches!(upstream.closed(0).await, Close::Fin | Close::Reset),
            "without any time passing"
        );
        assert_eq!(first["upstream"], "closed");
    }
    clock.advance(LATER).await;
    assert_eq!(
        (upstream.count(), spare.count()),
        (moment.calls(), 0),
        "no other attempt is made"
    );
    proxy.at_rest().await;
}

/// Cancels a stream and returns the status JSON.
async fn cancel(client: &Client, id: &str) -> Value {
    let mut reply = client.cancel(id).await;
    let body = reply.json().await;
    assert_eq!(reply.status, 200, "{body}");
    body
}

fn ended_as(moment: Moment, received: &Received) -> bool {
    if moment == Moment::AfterTheEnd {
        received.is_success()
    } else {
        received.is_cancelled()
    }
}

/// Asserts that the original request is answered as the contract says.
async fn answered(moment: Moment, dialect: Dialect, stream: bool, mut reply: Reply) {
    let nothing_came = !matches!(moment, Moment::MidStream | Moment::AfterTheEnd);
    if stream {
        assert_eq!(reply.status, 200);
        let received = reply.received().await;
        assert!(ended_as(moment, &received), "{received:?}");
        assert_eq!(received.text().is_empty(), nothing_came);
        return;
    }
    let (status, body) = (reply.status, reply.json().await);
    match dialect {
        Dialect::Events => {
            assert_eq!(status, 200, "{body}");
            assert_eq!(
                body["status"],
                if moment == Moment::AfterTheEnd {
                    "completed"
                } else {
                    "cancelled"
                }
            );
        }
        _ if status == 409 => {
            assert_eq!(body["error"]["code"], "stream_cancelled");
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            assert_ne!(moment, Moment::AfterTheEnd);
        }
        _ => {
            assert_eq!(status, 200, "{body}");
            assert!(!nothing_came, "{body}");
            let received = Received::from_body(dialect, &body);
            assert_eq!(received.cancelled, moment == Moment::MidStream, "{body}");
            assert!(received.text().starts_with("tok0 "), "{body}");
        }
    }
}

#[tokio::test]
async fn b05_a_cancel_that_answers_200_has_stopped_the_upstream() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for (content_type, body) in [
            ("text/plain;charset=UTF-8", ""),
            ("application/json", "{\"a\":"),
            ("multipart/form-data", "x"),
        ] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {content_type}"));
            let upstream = Upstream::start(Answer::tokens(100).script(wire, Pace::Gate)).await;
            let proxy = Proxy::over(wire, &upstream).await;
            upstream.open(5);
            let mut reply = proxy.client.ask(&Request::chat(dialect, "m", true)).await;
            let id = reply.stream_id();
            reply.until(has_five_tokens).await;
            let beacon =
                Request::new("POST", format!("/v1/streams/{id}/cancel")).raw(content_type, body);
            let answer = proxy.client.ask(&beacon).await;
            assert_eq!(answer.status, 200);
            upstream.closed(0).await;
            upstream.open(95);
            clock.advance(LATER).await;
            let opening = usize::from(!Answer::tokens(0).opening(wire).is_empty());
            assert_eq!(
                upstream.call(0).events,
                opening + 5,
                "no token was generated after the cancel"
            );
            assert!(reply.received().await.is_cancelled());
        }
    }
}

#[tokio::test]
async fn b06_a_client_that_pipelined_and_closed_is_found_by_the_next_heartbeat() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::always(half(wire, true)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let mut reply = proxy
            .client
            .ask(&Request::chat(dialect, "m", true).cancel_on_disconnect())
            .await;
        reply
            .write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-le")
            .await;
        reply.until(has_five_tokens).await;
        settle().await;
        drop(reply);
        clock
            .takes_at_most(
                Duration::from_secs(16),
                "the heartbeat to reveal it",
                upstream.closed(0),
            )
            .await;
        proxy.at_rest().await;
    }
}

#[tokio::test]
async fn b08_a_late_cancel_never_ends_a_newer_generation() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(move |_, n| match n {
            0 => json(400, encode::refusal(wire, 400, "not like this").to_string()),
            _ => Answer::tokens(6).steps(wire, Pace::Gate),
        })
        .await;
        let proxy = Proxy::over(wire, &upstream).await;
        let request = Request::chat(dialect, "m", true).named(&name(7));
        let mut failed = proxy.client.ask(&request).await;
        let old = failed.stream_id();
        failed.whole().await;
        upstream.open(5);
        let mut reply = proxy.client.ask(&request).await;
        let new = reply.stream_id();
        assert_ne!(old, new, "a failed claim is released");
        assert_eq!(cancel(&proxy.client, &old).await["status"], "failed");
        reply.until(has_five_tokens).await;
        assert_eq!(
            upstream.call(1).closed,
            None,
            "the newer generation continues"
        );
        upstream.open(2);
        assert!(reply.received().await.is_success());
        assert_eq!(cancel(&proxy.client, &new).await["status"], "completed");
    }
}

impl Client {
    /// Sends a request while virtual time passes, because the upstream needs it to begin.
    async fn ask_when_ready(&self, clock: &VirtualClock, request: &Request) -> Reply {
        clock
            .takes_at_most(LATER, "the head of the answer", self.ask(request))
            .await
    }
}
