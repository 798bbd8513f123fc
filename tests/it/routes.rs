//! Routes: which targets are asked, in which order, which are left alone, and how that is told.

mod balancing;
mod hedging;
mod leaving;
mod sticking;
mod translating;

use std::time::Duration;

use serde_json::Value;

use crate::rig::upstream::{Head, Step, json as whole, refusing, unreachable};
use crate::rig::{
    Ask, Client, Pace, Proxy, Say, Scene, Setup, Speech, Told, Upstream, Virtual, WireId, say,
    speeches, within,
};

const WIRE: WireId = WireId::OpenaiChat;
/// What an upstream that works says.
const SAID: &str = "tok0 tok1 tok2 ";
/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(60);

/// An upstream that works.
async fn good() -> Upstream {
    Upstream::start(Say::tokens(3).script(WIRE, Pace::Flat)).await
}

/// A refusal with these fields in its head.
fn refused(status: u16, fields: &[(&str, &str)]) -> Vec<Step> {
    with_fields(
        whole(status, say::refusal(WIRE, status, "not now").to_string()),
        fields,
    )
}

/// A good answer with these fields in its head.
fn answered(fields: &[(&str, &str)]) -> Vec<Step> {
    with_fields(Say::tokens(3).steps(WIRE, Pace::Flat), fields)
}

fn with_fields(mut steps: Vec<Step>, fields: &[(&str, &str)]) -> Vec<Step> {
    let Step::Head(Head { headers, .. }) = &mut steps[0] else {
        unreachable!("an answer begins with its head")
    };
    headers.extend(
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    steps
}

/// What a client got of a streamed request.
#[derive(Debug)]
struct Got {
    status: u16,
    route: String,
    retry_after: Option<u64>,
    told: Told,
    error: Value,
    id: String,
}

async fn ask(client: &Client, speech: Speech) -> Got {
    got(client, &Ask::chat(speech, "m", true)).await
}

async fn got(client: &Client, ask: &Ask) -> Got {
    let mut reply = client.ask(ask).await;
    let field = |name: &str| reply.header(name).map(str::to_owned);
    let (route, after, id) = (
        field("x-sluicegate-route").unwrap_or_default(),
        field("retry-after"),
        reply.stream_id(),
    );
    let (status, retry_after) = (reply.status, after.map(|it| it.parse().unwrap()));
    if status == 200 {
        return Got {
            status,
            route,
            retry_after,
            told: reply.told().await,
            error: Value::Null,
            id,
        };
    }
    Got {
        status,
        route,
        retry_after,
        told: Told::default(),
        error: reply.json().await["error"].clone(),
        id,
    }
}

/// The same while virtual time passes.
async fn ask_in_time(clock: &Virtual, client: &Client, speech: Speech) -> Got {
    clock
        .takes_at_most(LONG, "an answer", ask(client, speech))
        .await
}

/// Outcomes and reasons of the targets, as the status JSON has them.
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

/// Every way in which a target can fail before its first content, and what it is called.
fn failures() -> Vec<(&'static str, Vec<Step>)> {
    let opened = [
        Say::tokens(1).steps_until(WIRE, Pace::Flat, 0),
        vec![Step::Hang],
    ]
    .concat();
    let early = vec![
        Step::Head(Head::sse()),
        Step::Write(say::error(WIRE, "overloaded")),
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
async fn whatever_fails_before_its_first_content_the_next_is_asked_and_it_is_told_why() {
    let clock = Virtual::start();
    let (blackhole, _held) = unreachable();
    let nobody = refusing().await;
    for speech in speeches() {
        for (code, steps) in failures() {
            let _scene = Scene::of(format!("{speech:?}: {code} by {steps:?}"));
            let (up, spare) = (Upstream::always(steps).await, good().await);
            let proxy = over_two(up.addr, &spare).start().await;
            fell_over(&clock, &proxy, speech, code).await;
            assert_eq!((up.count(), spare.count()), (1, 1));
        }
        for (code, addr) in [("upstream_timeout", blackhole), ("upstream_error", nobody)] {
            let _scene = Scene::of(format!("{speech:?}: no connection to {addr}"));
            let spare = good().await;
            let proxy = over_two(addr, &spare).start().await;
            fell_over(&clock, &proxy, speech, code).await;
        }
    }
}

async fn fell_over(clock: &Virtual, proxy: &Proxy, speech: Speech, code: &str) {
    let got = ask_in_time(clock, &proxy.client, speech).await;
    assert!(got.told.is_success(), "{got:?}");
    assert_eq!(got.told.text(), SAID, "no token of the first");
    if !speech.answers_at_once() {
        let (first, second) = got.route.split_once(", ").unwrap();
        assert!(
            first.starts_with(&format!("up/m-up;failed={code}")) && second == "spare/m-spare",
            "{}",
            got.route
        );
    }
    let status = proxy.client.status(&got.id).await;
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
async fn a_wrong_request_ends_the_route_and_no_breaker_counts_it() {
    for status in [400, 413, 415, 422] {
        let (up, spare) = (
            Upstream::always(refused(status, &[("retry-after", "50")])).await,
            good().await,
        );
        let proxy = over_two(up.addr, &spare).start().await;
        for n in 1..=20 {
            let got = ask(&proxy.client, Speech::Chat).await;
            assert_eq!(
                (got.status, up.count(), spare.count()),
                (status, n, 0),
                "{got:?}"
            );
            assert!(got.route.starts_with("up/m-up;failed="), "{}", got.route);
        }
    }
}

#[tokio::test]
async fn a_refusal_tells_of_all_that_were_tried_in_every_dialect() {
    for speech in speeches() {
        let _scene = Scene::of(format!("{speech:?}"));
        let (up, spare) = (
            Upstream::always(refused(500, &[])).await,
            Upstream::always(refused(503, &[])).await,
        );
        let proxy = over_two(up.addr, &spare).start().await;
        let got = got(&proxy.client, &Ask::chat(speech, "m", false)).await;
        let route: Vec<_> = got
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
            "{got:?}"
        );
        let status = proxy.client.status(&got.id).await;
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
async fn retries_are_counted_where_they_are_told() {
    let clock = Virtual::start();
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
    let got = ask_in_time(&clock, &proxy.client, Speech::Chat).await;
    assert_eq!(
        (got.told.text(), &*got.route, up.count()),
        (SAID, "up/m-up;tries=3", 3)
    );
}

#[tokio::test]
async fn retries_end_where_the_routes_budget_does() {
    let clock = Virtual::start();
    let up = Upstream::always(refused(500, &[])).await;
    let config = |config: &mut sluicegate::config::Config| {
        config.route.rules = sluicegate::route::Rules {
            least_retries: 10,
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
            ask_in_time(&clock, &proxy.client, Speech::Chat)
                .await
                .status,
            502
        );
    }
    // The first request's ten retries took longer than ten seconds; a few more were given back
    // since.
    assert!(
        (20..=60).contains(&up.count()),
        "{} requests for 10, not 110",
        up.count()
    );
}
