//! Races of two targets for the first content.

use super::*;

const HEDGED: &str = "retries = 1\nhedge_after = \"800ms\"";

/// Model `m` over `up`, `spare` and optionally `last`, hedged after 800 ms.
fn hedged(up: &Upstream, spare: &Upstream, last: Option<&Upstream>) -> Setup {
    let mut setup = Setup::new()
        .provider("up", WIRE, up.addr)
        .provider("spare", WIRE, spare.addr);
    let mut route = "[\"up/m-up\", \"spare/m-spare\"".to_owned();
    if let Some(last) = last {
        setup = setup.provider("last", WIRE, last.addr);
        route.push_str(", \"last/m-last\"");
    }
    route.push(']');
    setup.model("m", &route).section("models.m", HEDGED)
}

/// The steps after a pause.
fn after(millis: u64, steps: Vec<Step>) -> Vec<Step> {
    [vec![Step::Pause(Duration::from_millis(millis))], steps].concat()
}

#[tokio::test]
async fn a_second_target_takes_over_from_a_slow_first_which_is_closed_at_once() {
    let clock = VirtualClock::start();
    for dialect in dialects() {
        let _case = Case::new(format!("{dialect:?}"));
        let opened = [
            Answer::tokens(3).steps_until(WIRE, Pace::Flat, 0),
            vec![Step::Hang],
        ]
        .concat();
        for first in [vec![Step::Hang], opened] {
            let (up, spare) = (Upstream::always(first).await, good().await);
            let proxy = hedged(&up, &spare, None).start().await;
            let asking = proxy.client.send(&Request::chat(dialect, "m", true)).await;
            up.requests(1).await;
            clock.advance(Duration::from_millis(780)).await;
            assert_eq!(spare.count(), 0, "not yet");
            let closed = async { (spare.requests(1).await, up.closed(0).await) };
            clock
                .takes_at_most(
                    Duration::from_millis(100),
                    "the first target to be closed",
                    closed,
                )
                .await;
            let mut reply = asking.head().await;
            let (route, id) = (
                reply
                    .header("x-sluicegate-route")
                    .unwrap_or_default()
                    .to_owned(),
                reply.stream_id(),
            );
            let received = reply.received().await;
            assert!(
                received.is_success() && received.text() == GOOD_TEXT,
                "{received:?}"
            );
            if !dialect.answers_at_once() {
                assert!(
                    route.starts_with("up/m-up;lost;ms=")
                        && route.ends_with(", spare/m-spare;hedge"),
                    "{route}"
                );
            }
            let status = proxy.client.status(&id).await;
            assert_eq!(
                steps(&status),
                ["up/m-up lost -", "spare/m-spare answered -"]
            );
            proxy.at_rest().await;
        }
    }
}

#[tokio::test]
async fn a_first_target_that_answers_during_the_race_wins() {
    let clock = VirtualClock::start();
    let up = Upstream::always(after(1000, answered(&[]))).await;
    let spare = Upstream::silent().await;
    let proxy = hedged(&up, &spare, None).start().await;
    let outcome = ask_in_time(&clock, &proxy.client, Dialect::Chat).await;
    assert_eq!(outcome.received.text(), GOOD_TEXT);
    assert!(
        outcome
            .route
            .starts_with("up/m-up, spare/m-spare;lost;hedge;ms="),
        "{}",
        outcome.route
    );
    spare.closed(0).await;
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_fast_first_target_starts_no_race() {
    let clock = VirtualClock::start();
    let (up, spare) = (
        Upstream::always(after(700, answered(&[]))).await,
        good().await,
    );
    let proxy = hedged(&up, &spare, None).start().await;
    let asking = proxy
        .client
        .send(&Request::chat(Dialect::Chat, "m", true))
        .await;
    up.requests(1).await;
    // A margin: timers count whole milliseconds.
    clock.advance(Duration::from_millis(740)).await;
    let reply = asking.head().await;
    clock.advance(Duration::from_secs(5)).await;
    assert_eq!(
        (reply.header("x-sluicegate-route"), spare.count()),
        (Some("up/m-up"), 0)
    );
}

#[tokio::test]
async fn a_cancel_during_a_race_closes_both_targets() {
    let clock = VirtualClock::start();
    for dialect in dialects() {
        let (up, spare, last) = (
            Upstream::silent().await,
            Upstream::silent().await,
            good().await,
        );
        let proxy = hedged(&up, &spare, Some(&last)).start().await;
        let name = crate::rig::name(1);
        let asking = proxy
            .client
            .send(&Request::chat(dialect, "m", true).named(&name))
            .await;
        up.requests(1).await;
        clock
            .takes_at_most(Duration::from_secs(1), "the second", spare.requests(1))
            .await;
        let mut reply = proxy.client.cancel(&name).await;
        assert_eq!(reply.json().await["status"], "cancelled");
        up.closed(0).await;
        spare.closed(0).await;
        assert!(asking.head().await.received().await.is_cancelled());
        let status = proxy.client.status(&name).await;
        assert_eq!(
            steps(&status),
            ["up/m-up cancelled -", "spare/m-spare cancelled -"]
        );
        clock.advance(Duration::from_secs(5)).await;
        assert_eq!(
            (up.count(), spare.count(), last.count()),
            (1, 1, 0),
            "no further target is called"
        );
        proxy.at_rest().await;
    }
}

#[tokio::test]
async fn if_the_first_fails_in_a_race_the_second_continues_alone() {
    let clock = VirtualClock::start();
    let up = Upstream::always(after(1000, refused(500, &[]))).await;
    let spare = Upstream::always(after(2000, answered(&[]))).await;
    let last = good().await;
    let proxy = hedged(&up, &spare, Some(&last)).start().await;
    let outcome = ask_in_time(&clock, &proxy.client, Dialect::Chat).await;
    assert!(
        outcome
            .route
            .starts_with("up/m-up;failed=upstream_error;ms=")
            && outcome.route.ends_with(", spare/m-spare;hedge"),
        "{}",
        outcome.route
    );
    assert_eq!(
        (
            outcome.received.text(),
            up.count(),
            spare.count(),
            last.count()
        ),
        (GOOD_TEXT, 1, 1, 0),
        "the first target is not retried"
    );
}

#[tokio::test]
async fn if_both_fail_in_a_race_the_next_target_is_tried() {
    let clock = VirtualClock::start();
    let up = Upstream::always(after(1000, refused(500, &[]))).await;
    let spare = Upstream::always(after(400, refused(404, &[]))).await;
    let last = good().await;
    let proxy = hedged(&up, &spare, Some(&last)).start().await;
    let outcome = ask_in_time(&clock, &proxy.client, Dialect::Chat).await;
    assert_eq!(outcome.received.text(), GOOD_TEXT);
    let route: Vec<_> = outcome
        .route
        .split(", ")
        .map(|it| it.split(";ms=").next().unwrap())
        .collect();
    assert_eq!(
        route[1..],
        ["spare/m-spare;failed=not_found;hedge", "last/m-last"],
        "{}",
        outcome.route
    );
    assert_eq!(
        route[0], "up/m-up;failed=upstream_error",
        "{}",
        outcome.route
    );
}

#[tokio::test]
async fn an_invalid_request_waits_for_the_other_target_of_the_race() {
    let clock = VirtualClock::start();
    let up = Upstream::always(after(2000, answered(&[]))).await;
    let (spare, last) = (Upstream::always(refused(400, &[])).await, good().await);
    let proxy = hedged(&up, &spare, Some(&last)).start().await;
    let outcome = ask_in_time(&clock, &proxy.client, Dialect::Chat).await;
    assert_eq!(
        (outcome.received.text(), last.count()),
        (GOOD_TEXT, 0),
        "{outcome:?}"
    );
    let up = Upstream::always(after(2000, refused(404, &[]))).await;
    let proxy = hedged(&up, &spare, Some(&last)).start().await;
    let outcome = ask_in_time(&clock, &proxy.client, Dialect::Chat).await;
    assert_eq!((outcome.status, last.count()), (400, 0), "{outcome:?}");
}

#[tokio::test]
async fn a_target_whose_frames_were_sent_is_final() {
    let clock = VirtualClock::start();
    let answer = Answer::tokens(3);
    let opened = answer.steps_until(WIRE, Pace::Flat, 0);
    let late = answer
        .content(WIRE)
        .into_iter()
        .map(Step::Write)
        .chain([Step::Write(answer.closing(WIRE)), Step::End]);
    let up = Upstream::always(
        [
            opened,
            vec![Step::Pause(Duration::from_secs(20))],
            late.collect(),
        ]
        .concat(),
    )
    .await;
    let spare = Upstream::always(after(15_000, answered(&[]))).await;
    let proxy = hedged(&up, &spare, None).start().await;
    let outcome = ask_in_time(&clock, &proxy.client, Dialect::Chat).await;
    assert_eq!(
        (outcome.status, outcome.received.text()),
        (200, GOOD_TEXT),
        "{outcome:?}"
    );
    assert_eq!(
        spare.closed(0).await,
        crate::rig::upstream::Close::Fin,
        "closed at `commit_after`, when the frames of the first target were released"
    );
    let status = proxy.client.status(&outcome.id).await;
    assert_eq!(
        steps(&status),
        ["up/m-up answered -", "spare/m-spare lost -"]
    );
}

#[tokio::test]
async fn p95_hedging_measures_the_first_content() {
    let clock = VirtualClock::start();
    let up = Upstream::start(|_, n| {
        if n < 20 {
            after(400, answered(&[]))
        } else {
            vec![Step::Hang]
        }
    })
    .await;
    let spare = good().await;
    let setup = Setup::new()
        .provider("up", WIRE, up.addr)
        .provider("spare", WIRE, spare.addr);
    let proxy = setup
        .model("m", "[\"up/m-up\", \"spare/m-spare\"]")
        .section("models.m", "hedge_after = \"p95\"")
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(
            ask_in_time(&clock, &proxy.client, Dialect::Chat)
                .await
                .route,
            "up/m-up"
        );
    }
    assert_eq!(
        spare.count(),
        0,
        "without enough measurements nothing is hedged"
    );
    let hedged = clock
        .takes_at_most(
            Duration::from_millis(1000),
            "the second target's answer",
            ask(&proxy.client, Dialect::Chat),
        )
        .await;
    assert!(
        hedged.route.ends_with(", spare/m-spare;hedge"),
        "{}",
        hedged.route
    );
}

#[tokio::test]
async fn the_share_of_hedged_requests_is_bounded() {
    const REQUESTS: usize = 60;
    let clock = VirtualClock::start();
    let (up, spare) = (Upstream::silent().await, Upstream::silent().await);
    let proxy = hedged(&up, &spare, None).start().await;
    let mut asking = Vec::new();
    for _ in 0..REQUESTS {
        asking.push(
            proxy
                .client
                .send(&Request::chat(Dialect::Chat, "m", true).cancel_on_disconnect())
                .await,
        );
    }
    up.requests(REQUESTS).await;
    clock.advance(Duration::from_secs(2)).await;
    assert_eq!(
        spare.count(),
        10 + REQUESTS / 10,
        "a tenth of the requests, and one per second of the first ten"
    );
    drop(asking);
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_whole_answer_is_not_hedged() {
    let clock = VirtualClock::start();
    let up =
        Upstream::start(Answer::tokens(3).script(WIRE, Pace::Every(Duration::from_secs(5)))).await;
    let spare = good().await;
    let proxy = hedged(&up, &spare, None).start().await;
    let asked = async {
        proxy
            .client
            .ask(&Request::chat(Dialect::Chat, "m", false))
            .await
    };
    let reply = clock.takes_at_most(LONG, "the answer", asked).await;
    assert_eq!(
        (
            reply.status,
            reply.header("x-sluicegate-route"),
            spare.count()
        ),
        (200, Some("up/m-up"), 0)
    );
}
