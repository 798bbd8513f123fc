//! Two targets race for the first content.

use super::*;

const HEDGED: &str = "retries = 1\nhedge_after = \"800ms\"";

/// Model `m` over up, spare and last, hedged after 800 ms.
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

/// After so much time, these steps.
fn after(millis: u64, steps: Vec<Step>) -> Vec<Step> {
    [vec![Step::Pause(Duration::from_millis(millis))], steps].concat()
}

#[tokio::test]
async fn a_second_target_takes_over_from_a_slow_first_which_is_closed_at_once() {
    let clock = Virtual::start();
    for speech in speeches() {
        let _scene = Scene::of(format!("{speech:?}"));
        let opened = [
            Say::tokens(3).steps_until(WIRE, Pace::Flat, 0),
            vec![Step::Hang],
        ]
        .concat();
        for first in [vec![Step::Hang], opened] {
            let (up, spare) = (Upstream::always(first).await, good().await);
            let proxy = hedged(&up, &spare, None).start().await;
            let asking = proxy.client.send(&Ask::chat(speech, "m", true)).await;
            up.requests(1).await;
            clock.pass(Duration::from_millis(780)).await;
            assert_eq!(spare.count(), 0, "not yet");
            let closed = async { (spare.requests(1).await, up.closed(0).await) };
            clock
                .takes_at_most(Duration::from_millis(100), "the first one's end", closed)
                .await;
            let mut reply = asking.head().await;
            let (route, id) = (
                reply
                    .header("x-sluicegate-route")
                    .unwrap_or_default()
                    .to_owned(),
                reply.stream_id(),
            );
            let told = reply.told().await;
            assert!(told.is_success() && told.text() == SAID, "{told:?}");
            if !speech.answers_at_once() {
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
async fn a_first_target_that_answers_after_all_wins() {
    let clock = Virtual::start();
    let up = Upstream::always(after(1000, answered(&[]))).await;
    let spare = Upstream::silent().await;
    let proxy = hedged(&up, &spare, None).start().await;
    let got = ask_in_time(&clock, &proxy.client, Speech::Chat).await;
    assert_eq!(got.told.text(), SAID);
    assert!(
        got.route
            .starts_with("up/m-up, spare/m-spare;lost;hedge;ms="),
        "{}",
        got.route
    );
    spare.closed(0).await;
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_fast_first_target_has_no_rival() {
    let clock = Virtual::start();
    let (up, spare) = (
        Upstream::always(after(700, answered(&[]))).await,
        good().await,
    );
    let proxy = hedged(&up, &spare, None).start().await;
    let asking = proxy.client.send(&Ask::chat(Speech::Chat, "m", true)).await;
    up.requests(1).await;
    // A moment longer: timers count whole milliseconds.
    clock.pass(Duration::from_millis(740)).await;
    let reply = asking.head().await;
    clock.pass(Duration::from_secs(5)).await;
    assert_eq!(
        (reply.header("x-sluicegate-route"), spare.count()),
        (Some("up/m-up"), 0)
    );
}

#[tokio::test]
async fn a_cancel_during_a_race_closes_both() {
    let clock = Virtual::start();
    for speech in speeches() {
        let (up, spare, last) = (
            Upstream::silent().await,
            Upstream::silent().await,
            good().await,
        );
        let proxy = hedged(&up, &spare, Some(&last)).start().await;
        let name = crate::rig::name(1);
        let asking = proxy
            .client
            .send(&Ask::chat(speech, "m", true).named(&name))
            .await;
        up.requests(1).await;
        clock
            .takes_at_most(Duration::from_secs(1), "the second", spare.requests(1))
            .await;
        let mut reply = proxy.client.cancel(&name).await;
        assert_eq!(reply.json().await["status"], "cancelled");
        up.closed(0).await;
        spare.closed(0).await;
        assert!(asking.head().await.told().await.is_cancelled());
        let status = proxy.client.status(&name).await;
        assert_eq!(
            steps(&status),
            ["up/m-up cancelled -", "spare/m-spare cancelled -"]
        );
        clock.pass(Duration::from_secs(5)).await;
        assert_eq!(
            (up.count(), spare.count(), last.count()),
            (1, 1, 0),
            "nobody is asked any more"
        );
        proxy.at_rest().await;
    }
}

#[tokio::test]
async fn where_the_first_fails_in_a_race_the_second_goes_on_alone() {
    let clock = Virtual::start();
    let up = Upstream::always(after(1000, refused(500, &[]))).await;
    let spare = Upstream::always(after(2000, answered(&[]))).await;
    let last = good().await;
    let proxy = hedged(&up, &spare, Some(&last)).start().await;
    let got = ask_in_time(&clock, &proxy.client, Speech::Chat).await;
    assert!(
        got.route.starts_with("up/m-up;failed=upstream_error;ms=")
            && got.route.ends_with(", spare/m-spare;hedge"),
        "{}",
        got.route
    );
    assert_eq!(
        (got.told.text(), up.count(), spare.count(), last.count()),
        (SAID, 1, 1, 0),
        "and the first is not asked again"
    );
}

#[tokio::test]
async fn where_both_fail_the_next_is_asked() {
    let clock = Virtual::start();
    let up = Upstream::always(after(1000, refused(500, &[]))).await;
    let spare = Upstream::always(after(400, refused(404, &[]))).await;
    let last = good().await;
    let proxy = hedged(&up, &spare, Some(&last)).start().await;
    let got = ask_in_time(&clock, &proxy.client, Speech::Chat).await;
    assert_eq!(got.told.text(), SAID);
    let route: Vec<_> = got
        .route
        .split(", ")
        .map(|it| it.split(";ms=").next().unwrap())
        .collect();
    assert_eq!(
        route[1..],
        ["spare/m-spare;failed=not_found;hedge", "last/m-last"],
        "{}",
        got.route
    );
    assert_eq!(route[0], "up/m-up;failed=upstream_error", "{}", got.route);
}

#[tokio::test]
async fn a_wrong_request_waits_for_the_one_that_is_still_asked() {
    let clock = Virtual::start();
    let up = Upstream::always(after(2000, answered(&[]))).await;
    let (spare, last) = (Upstream::always(refused(400, &[])).await, good().await);
    let proxy = hedged(&up, &spare, Some(&last)).start().await;
    let got = ask_in_time(&clock, &proxy.client, Speech::Chat).await;
    assert_eq!((got.told.text(), last.count()), (SAID, 0), "{got:?}");
    let up = Upstream::always(after(2000, refused(404, &[]))).await;
    let proxy = hedged(&up, &spare, Some(&last)).start().await;
    let got = ask_in_time(&clock, &proxy.client, Speech::Chat).await;
    assert_eq!((got.status, last.count()), (400, 0), "{got:?}");
}

#[tokio::test]
async fn what_a_client_has_seen_is_final() {
    let clock = Virtual::start();
    let say = Say::tokens(3);
    let opened = say.steps_until(WIRE, Pace::Flat, 0);
    let late = say
        .content(WIRE)
        .into_iter()
        .map(Step::Write)
        .chain([Step::Write(say.closing(WIRE)), Step::End]);
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
    let got = ask_in_time(&clock, &proxy.client, Speech::Chat).await;
    assert_eq!((got.status, got.told.text()), (200, SAID), "{got:?}");
    assert_eq!(
        spare.closed(0).await,
        crate::rig::upstream::Close::Fin,
        "closed at `commit_after`, when the first one's frames were let go"
    );
    let status = proxy.client.status(&got.id).await;
    assert_eq!(
        steps(&status),
        ["up/m-up answered -", "spare/m-spare lost -"]
    );
}

#[tokio::test]
async fn the_slowest_in_twenty_is_measured() {
    let clock = Virtual::start();
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
            ask_in_time(&clock, &proxy.client, Speech::Chat).await.route,
            "up/m-up"
        );
    }
    assert_eq!(
        spare.count(),
        0,
        "as long as little is known nobody else is asked"
    );
    let hedged = clock
        .takes_at_most(
            Duration::from_millis(1000),
            "the second one's answer",
            ask(&proxy.client, Speech::Chat),
        )
        .await;
    assert!(
        hedged.route.ends_with(", spare/m-spare;hedge"),
        "{}",
        hedged.route
    );
}

#[tokio::test]
async fn few_requests_have_a_rival() {
    const REQUESTS: usize = 60;
    let clock = Virtual::start();
    let (up, spare) = (Upstream::silent().await, Upstream::silent().await);
    let proxy = hedged(&up, &spare, None).start().await;
    let mut asking = Vec::new();
    for _ in 0..REQUESTS {
        asking.push(
            proxy
                .client
                .send(&Ask::chat(Speech::Chat, "m", true).cancel_on_disconnect())
                .await,
        );
    }
    up.requests(REQUESTS).await;
    clock.pass(Duration::from_secs(2)).await;
    assert_eq!(
        spare.count(),
        10 + REQUESTS / 10,
        "a tenth, and one a second for ten"
    );
    drop(asking);
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_whole_answer_has_no_first_content_to_race_for() {
    let clock = Virtual::start();
    let up =
        Upstream::start(Say::tokens(3).script(WIRE, Pace::Every(Duration::from_secs(5)))).await;
    let spare = good().await;
    let proxy = hedged(&up, &spare, None).start().await;
    let asked = async { proxy.client.ask(&Ask::chat(Speech::Chat, "m", false)).await };
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
