//! Routes: the targets that are tried, their order, the targets that are skipped, and the reports
//! about them.

mod balancing;
mod hedging;
mod pausing;
mod sticking;
mod translating;

use std::time::Duration;

use serde_json::Value;

use crate::rig::upstream::{Head, Step, json as whole, refusing_address, unresponsive_address};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Received, Request, Setup, Upstream, VirtualClock,
    WireId, dialects, encode, within,
};

const WIRE: WireId = WireId::OpenaiChat;
/// Text of a successful upstream answer.
const GOOD_TEXT: &str = "tok0 tok1 tok2 ";
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// An upstream that succeeds.
async fn good() -> Upstream {
    Upstream::start(Answer::tokens(3).script(WIRE, Pace::Flat)).await
}

/// An error with these header fields.
fn refused(status: u16, fields: &[(&str, &str)]) -> Vec<Step> {
    with_fields(
        whole(status, encode::refusal(WIRE, status, "not now").to_string()),
        fields,
    )
}

/// A successful answer with these header fields.
fn answered(fields: &[(&str, &str)]) -> Vec<Step> {
    with_fields(Answer::tokens(3).steps(WIRE, Pace::Flat), fields)
}

fn with_fields(mut steps: Vec<Step>, fields: &[(&str, &str)]) -> Vec<Step> {
    let Step::Head(Head { headers, .. }) = &mut steps[0] else {
        unreachable!("an answer starts with its head")
    };
    headers.extend(
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    steps
}

/// The result of a request.
#[derive(Debug)]
struct Outcome {
    status: u16,
    route: String,
    retry_after: Option<u64>,
    received: Received,
    error: Value,
    id: String,
}

async fn ask(client: &Client, dialect: Dialect) -> Outcome {
    send(client, &Request::chat(dialect, "m", true)).await
}

async fn send(client: &Client, request: &Request) -> Outcome {
    let mut reply = client.ask(request).await;
    let field = |name: &str| reply.header(name).map(str::to_owned);
    let (route, after, id) = (
        field("x-sluicegate-route").unwrap_or_default(),
        field("retry-after"),
        reply.stream_id(),
    );
    let (status, retry_after) = (reply.status, after.map(|it| it.parse().unwrap()));
    if status == 200 {
        return Outcome {
            status,
            route,
            retry_after,
            received: reply.received().await,
            error: Value::Null,
            id,
        };
    }
    Outcome {
        status,
        route,
        retry_after,
        received: Received::default(),
        error: reply.json().await["error"].clone(),
        id,
    }
}

/// Sends a request while virtual time passes.
async fn ask_in_time(clock: &VirtualClock, client: &Client, dialect: Dialect) -> Outcome {
    clock
        .takes_at_most(LONG, "an answer", ask(client, dialect))
        .await
}

/// Returns provider, model, outcome and reason of each target in the status JSON.
fn steps(status: &Value) -> Vec<String> {
    let step = |it: &Value| {
        let text = |name: &str| it[name].as_str().unwrap_or("-").to_owned();
        format!(
            "{}/{} {} {}",
            text("provider"),
            text("model"),
            text("outcome"),
            text("reason")
        )
    };
    status["route"]
        .as_array()
        .unwrap()
        .iter()
        .map(step)
        .collect()
}

/// Returns every way in which a target can fail before its first content, and the resulting code.
fn failures() -> Vec<(&'static str, Vec<Step>)> {
    let opened = [
        Answer::tokens(1).steps_until(WIRE, Pace::Flat, 0),
        vec![Step::Hang],
    ]
    .concat();
    let early = vec![
        Step::Head(Head::sse()),
        Step::Write(encode::error(WIRE, "overloaded")),
        Step::End,
    ];
    let mut all = vec![
        ("upstream_error", vec![Step::Reset]),
        ("upstream_error", vec![Step::Truncate]),
        (
            "upstream_error",
            vec![Step::Head(Head::sse()), Step::Truncate],
        ),
        ("upstream_error", vec![Step::Head(Head::sse()), Step::End]),
        ("upstream_timeout", vec![Step::Hang]),
        ("upstream_timeout", opened),
        ("upstream_error", early),
    ];
    let statuses = [
        (401, "upstream_auth"),
        (402, "upstream_auth"),
        (403, "upstream_auth"),
        (404, "not_found"),
        (408, "upstream_error"),
        (409, "upstream_error"),
        (424, "upstream_error"),
        (425, "upstream_error"),
        (429, "rate_limited"),
        (500, "upstream_error"),
        (502, "upstream_error"),
        (503, "overloaded"),
        (504, "upstream_error"),
        (529, "overloaded"),
    ];
    all.extend(statuses.map(|(status, code)| (code, refused(status, &[]))));
    all
}

fn over_two(first: std::net::SocketAddr, spare: &Upstream) -> Setup {
    let clocks = "timeouts = { connect = \"1s\", headers = \"2s\", first_token = \"3s\" }";
    let setup = Setup::new()
        .provider("up", WIRE, first)
        .provider("spare", WIRE, spare.addr)
        .section("providers.up", clocks);
    setup
        .model("m", "[\"up/m-up\", \"spare/m-spare\"]")
        .section("models.m", "retries = 0")
}

#[tokio::test]
async fn a_failure_before_the_first_content_falls_back_and_its_reason_is_reported() {
    let clock = VirtualClock::start();
    let (blackhole, _held) = unresponsive_address();
    let nobody = refusing_address().await;
    for dialect in dialects() {
        for (code, steps) in failures() {
            let _case = Case::new(format!("{dialect:?}: {code} by {steps:?}"));
            let (up, spare) = (Upstream::always(steps).await, good().await);
            let proxy = over_two(up.addr, &spare).start().await;
            check_fallback(&clock, &proxy, dialect, code).await;
            assert_eq!((up.count(), spare.count()), (1, 1));
        }
        for (code, addr) in [("upstream_timeout", blackhole), ("upstream_error", nobody)] {
            let _case = Case::new(format!("{dialect:?}: no connection to {addr}"));
            let spare = good().await;
            let proxy = over_two(addr, &spare).start().await;
            check_fallback(&clock, &proxy, dialect, code).await;
        }
    }
}

async fn check_fallback(clock: &VirtualClock, proxy: &Proxy, dialect: Dialect, code: &str) {
    let outcome = ask_in_time(clock, &proxy.client, dialect).await;
    assert!(outcome.received.is_success(), "{outcome:?}");
    assert_eq!(
        outcome.received.text(),
        GOOD_TEXT,
        "no token of the first target"
    );
    if !dialect.answers_at_once() {
        let (first, second) = outcome.route.split_once(", ").unwrap();
        assert!(
            first.starts_with(&format!("up/m-up;failed={code}")) && second == "spare/m-spare",
            "{}",
            outcome.route
        );
    }
    let status = proxy.client.status(&outcome.id).await;
    assert_eq!(
        steps(&status),
        [
            format!("up/m-up failed {code}"),
            "spare/m-spare answered -".to_owned()
        ]
    );
    assert!(
        status["route"][1]["ms"].is_u64() && status["route"][0]["tries"] == 1,
        "{status}"
    );
    proxy.at_rest().await;
}

#[tokio::test]
async fn an_invalid_request_ends_the_route_and_does_not_open_a_breaker() {
    for status in [400, 413, 415, 422] {
        let (up, spare) = (
            Upstream::always(refused(status, &[("retry-after", "50")])).await,
            good().await,
        );
        let proxy = over_two(up.addr, &spare).start().await;
        for n in 1..=20 {
            let outcome = ask(&proxy.client, Dialect::Chat).await;
            assert_eq!(
                (outcome.status, up.count(), spare.count()),
                (status, n, 0),
                "{outcome:?}"
            );
            assert!(
                outcome.route.starts_with("up/m-up;failed="),
                "{}",
                outcome.route
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_reports_every_tried_target_in_every_dialect() {
    for dialect in dialects() {
        let _case = Case::new(format!("{dialect:?}"));
        let (up, spare) = (
            Upstream::always(refused(500, &[])).await,
            Upstream::always(refused(503, &[])).await,
        );
        let proxy = over_two(up.addr, &spare).start().await;
        let outcome = send(&proxy.client, &Request::chat(dialect, "m", false)).await;
        let route: Vec<_> = outcome
            .route
            .split(", ")
            .map(|it| it.rsplit_once(";ms=").unwrap().0)
            .collect();
        assert_eq!(
            route,
            [
                "up/m-up;failed=upstream_error",
                "spare/m-spare;failed=overloaded"
            ],
            "{outcome:?}"
        );
        let status = proxy.client.status(&outcome.id).await;
        assert_eq!(
            steps(&status),
            [
                "up/m-up failed upstream_error",
                "spare/m-spare failed overloaded"
            ]
        );
    }
}

#[tokio::test]
async fn retries_are_counted_in_the_route_report() {
    let clock = VirtualClock::start();
    let up = Upstream::start(|_, n| {
        if n < 2 {
            refused(500, &[])
        } else {
            answered(&[])
        }
    })
    .await;
    let proxy = Setup::new()
        .over(WIRE, &up)
        .section("models.m", "retries = 2")
        .start()
        .await;
    let outcome = ask_in_time(&clock, &proxy.client, Dialect::Chat).await;
    assert_eq!(
        (outcome.received.text(), &*outcome.route, up.count()),
        (GOOD_TEXT, "up/m-up;tries=3", 3)
    );
}

#[tokio::test]
async fn retries_are_bounded_by_the_routes_budget() {
    let clock = VirtualClock::start();
    let up = Upstream::always(refused(500, &[])).await;
    let config = |config: &mut sluicegate::config::Config| {
        config.route.rules = sluicegate::route::Rules {
            min_retries: 10,
            ..sluicegate::route::Rules::forgiving()
        };
    };
    let proxy = Setup::new()
        .over(WIRE, &up)
        .section("models.m", "retries = 10")
        .start_with(config)
        .await;
    for _ in 0..10 {
        assert_eq!(
            ask_in_time(&clock, &proxy.client, Dialect::Chat)
                .await
                .status,
            502
        );
    }
    // The first request's ten retries took longer than ten seconds, so the budget has refilled a
    // little since.
    assert!(
        (20..=60).contains(&up.count()),
        "{} requests for 10, not 110",
        up.count()
    );
}
