//! Targets that are left alone: by their breaker, or by their provider's own word.

use super::*;

/// Asks until `up` is asked no more; how often it was.
async fn until_left_alone(proxy: &Proxy, up: &Upstream) -> usize {
    for n in 1..=30 {
        ask(&proxy.client, Speech::Chat).await;
        if up.count() < n {
            return n - 1;
        }
    }
    panic!("it was asked each time");
}

#[tokio::test]
async fn a_target_that_fails_is_left_alone_and_stands_for_its_failure() {
    let _clock = Virtual::start();
    for (status, code, told) in [
        (500, "upstream_error", 502),
        (503, "overloaded", 503),
        (404, "not_found", 404),
        (401, "upstream_auth", 502),
    ] {
        let up = Upstream::always(refused(status, &[])).await;
        let proxy = Setup::new()
            .over(WIRE, &up)
            .section("models.m", "retries = 0")
            .start()
            .await;
        assert_eq!(until_left_alone(&proxy, &up).await, 5);
        let got = ask(&proxy.client, Speech::Chat).await;
        assert_eq!(
            (got.status, got.error["code"].as_str(), up.count()),
            (told, Some(code), 5),
            "{got:?}"
        );
        assert_eq!(
            (&*got.route, got.retry_after),
            ("up/m-up;skipped=breaker", Some(2))
        );
        assert!(
            !got.error.to_string().contains("not now"),
            "an upstream's words are for whom it said them to"
        );
        let status = proxy.client.status(&got.id).await;
        assert_eq!(
            (steps(&status), &status["upstream"]),
            (vec!["up/m-up skipped breaker".to_owned()], &"none".into())
        );
    }
}

#[tokio::test]
async fn of_fifty_one_probes() {
    let clock = Virtual::start();
    let up = Upstream::start(|_, n| {
        if n < 5 {
            refused(500, &[])
        } else {
            Say::tokens(3).steps(WIRE, Pace::Gate)
        }
    })
    .await;
    let spare = good().await;
    let proxy = over_two(up.addr, &spare).start().await;
    assert_eq!(until_left_alone(&proxy, &up).await, 5);
    clock.pass(Duration::from_millis(2100)).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = proxy.client.clone();
        asking.spawn(async move { ask(&client, Speech::Chat).await });
    }
    let mut others = Vec::new();
    within("all but the probe", async {
        while others.len() < 49 {
            others.push(asking.join_next().await.unwrap().unwrap());
        }
    })
    .await;
    assert!(
        others.iter().all(
            |it| it.route == "up/m-up;skipped=breaker, spare/m-spare" && it.told.text() == SAID
        ),
        "{:?}",
        others[0]
    );
    assert_eq!(up.count(), 6, "one probe");
    up.open(99);
    let probe = within("the probe", asking.join_next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((probe.told.text(), &*probe.route), (SAID, "up/m-up"));
    assert_eq!(
        ask(&proxy.client, Speech::Chat).await.route,
        "up/m-up",
        "it is asked again by everybody"
    );
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_failed_probe_and_one_that_is_cancelled() {
    let clock = Virtual::start();
    let up = Upstream::start(|_, n| {
        if n == 5 {
            vec![Step::Hang]
        } else {
            refused(500, &[])
        }
    })
    .await;
    let spare = good().await;
    let proxy = over_two(up.addr, &spare).start().await;
    until_left_alone(&proxy, &up).await;
    clock.pass(Duration::from_millis(2100)).await;
    let probe = proxy
        .client
        .send(&Ask::chat(Speech::Chat, "m", true).cancel_on_disconnect())
        .await;
    up.requests(6).await;
    assert_eq!(
        ask(&proxy.client, Speech::Chat).await.route,
        "up/m-up;skipped=breaker, spare/m-spare"
    );
    probe.abort();
    up.closed(5).await;
    proxy.at_rest().await;
    let next = ask(&proxy.client, Speech::Chat).await;
    assert!(
        next.route.starts_with("up/m-up;failed=upstream_error"),
        "a cancel says nothing: the next one probes: {}",
        next.route
    );
    clock.pass(Duration::from_millis(2100)).await;
    assert_eq!(
        ask(&proxy.client, Speech::Chat).await.route,
        "up/m-up;skipped=breaker, spare/m-spare",
        "this time for longer"
    );
}

#[tokio::test]
async fn b22_an_error_in_the_first_event_counts_for_the_breaker() {
    for wire in crate::rig::wires() {
        let _scene = Scene::of(format!("{wire:?}"));
        let early = vec![
            Step::Head(say::head(wire)),
            Step::Write(say::error(wire, "overloaded")),
            Step::End,
        ];
        let up = Upstream::always(early).await;
        let spare = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
        let proxy = Setup::new()
            .over_two(wire, &up, &spare)
            .section("models.m", "retries = 0")
            .start()
            .await;
        assert_eq!(until_left_alone(&proxy, &up).await, 5);
    }
}

#[tokio::test]
async fn answers_that_break_off_count_for_the_breaker() {
    let steps = [
        Say::tokens(9).steps_until(WIRE, Pace::Flat, 2),
        vec![Step::Yield, Step::Truncate],
    ]
    .concat();
    let (up, spare) = (Upstream::always(steps).await, good().await);
    let proxy = over_two(up.addr, &spare).start().await;
    assert!(until_left_alone(&proxy, &up).await <= 10);
}

#[tokio::test]
async fn whoever_leaves_says_nothing_of_the_target() {
    let up = Upstream::start(|_, n| {
        if n < 20 {
            vec![Step::Hang]
        } else {
            answered(&[])
        }
    })
    .await;
    let spare = good().await;
    let proxy = over_two(up.addr, &spare).start().await;
    for n in 0..20 {
        let left = proxy
            .client
            .send(&Ask::chat(Speech::Chat, "m", true).cancel_on_disconnect())
            .await;
        up.requests(n + 1).await;
        left.abort();
        up.closed(n).await;
    }
    assert_eq!(ask(&proxy.client, Speech::Chat).await.route, "up/m-up");
    assert_eq!(spare.count(), 0);
}

#[tokio::test]
async fn a_retry_after_is_kept_to() {
    let clock = Virtual::start();
    for status in [429, 503, 529] {
        let up = Upstream::start(move |_, n| {
            if n == 0 {
                refused(status, &[("retry-after", "20")])
            } else {
                answered(&[])
            }
        })
        .await;
        let spare = good().await;
        let proxy = over_two(up.addr, &spare).start().await;
        assert_eq!(ask(&proxy.client, Speech::Chat).await.told.text(), SAID);
        clock.pass(Duration::from_secs(5)).await;
        assert_eq!(
            ask(&proxy.client, Speech::Chat).await.route,
            "up/m-up;skipped=retry_after, spare/m-spare"
        );
        assert_eq!(up.count(), 1, "it is not hammered");
        clock.pass(Duration::from_secs(15)).await;
        assert_eq!(ask(&proxy.client, Speech::Chat).await.route, "up/m-up");
    }
}

#[tokio::test]
async fn where_all_are_told_to_wait_the_client_is_told_the_shortest_wait() {
    let clock = Virtual::start();
    let limited = |after| Upstream::always(refused(429, &[("retry-after", after)]));
    let (up, spare) = (limited("20").await, limited("9").await);
    let proxy = over_two(up.addr, &spare).start().await;
    assert_eq!(ask(&proxy.client, Speech::Chat).await.status, 429);
    clock.pass(Duration::from_secs(4)).await;
    let got = ask(&proxy.client, Speech::Chat).await;
    assert_eq!((got.status, got.retry_after), (429, Some(5)), "{got:?}");
    assert_eq!(
        (got.error["code"].as_str(), got.error["limit"].as_str()),
        (Some("rate_limited"), Some("provider"))
    );
    assert_eq!(
        got.route,
        "up/m-up;skipped=retry_after, spare/m-spare;skipped=retry_after"
    );
    assert_eq!((up.count(), spare.count()), (1, 1));
}

#[tokio::test]
async fn a_full_account_is_passed_over_until_its_reset() {
    let clock = Virtual::start();
    let full: [&[(&str, &str)]; 4] = [
        &[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "30s"),
        ],
        &[
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "0m30s"),
            ("x-ratelimit-remaining-requests", "7"),
        ],
        &[
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2026-10-21T07:28:30Z"),
            ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ],
        &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")],
    ];
    for fields in full {
        let _scene = Scene::of(format!("{fields:?}"));
        let up = Upstream::start(move |_, n| {
            if n == 0 {
                answered(fields)
            } else {
                answered(&[])
            }
        })
        .await;
        let spare = Upstream::always(answered(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "365h"),
        ]))
        .await;
        let proxy = over_two(up.addr, &spare).start().await;
        assert_eq!(
            ask(&proxy.client, Speech::Chat).await.route,
            "up/m-up",
            "what had room is answered"
        );
        assert_eq!(
            ask(&proxy.client, Speech::Chat).await.route,
            "up/m-up;skipped=full, spare/m-spare"
        );
        clock.pass(Duration::from_secs(10)).await;
        let got = ask(&proxy.client, Speech::Chat).await;
        assert_eq!(
            (got.status, got.retry_after, got.error["limit"].as_str()),
            (429, Some(20), Some("provider")),
            "{got:?}"
        );
        clock.pass(Duration::from_secs(20)).await;
        assert_eq!(ask(&proxy.client, Speech::Chat).await.route, "up/m-up");
    }
}

#[tokio::test]
async fn no_header_blocks_an_account_for_a_year() {
    let _clock = Virtual::start();
    let up = Upstream::start(|_, n| {
        if n == 0 {
            refused(429, &[("retry-after", "31536000")])
        } else {
            answered(&[])
        }
    })
    .await;
    let proxy = Setup::new()
        .over(WIRE, &up)
        .section("models.m", "retries = 0")
        .start()
        .await;
    assert_eq!(ask(&proxy.client, Speech::Chat).await.status, 429);
    assert_eq!(
        ask(&proxy.client, Speech::Chat).await.retry_after,
        Some(3600)
    );
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(ask(&proxy.client, Speech::Chat).await.told.text(), SAID);
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_targets_that_stay_the_same() {
    let _clock = Virtual::start();
    let (up, spare) = (Upstream::always(refused(500, &[])).await, good().await);
    let setup = over_two(up.addr, &spare);
    let proxy = setup.clone().start().await;
    until_left_alone(&proxy, &up).await;
    proxy
        .running
        .reload(setup.clone().section("models.m", "sticky = true").config())
        .unwrap();
    assert_eq!(
        ask(&proxy.client, Speech::Chat).await.route,
        "up/m-up;skipped=breaker, spare/m-spare"
    );
    proxy
        .running
        .reload(
            setup
                .section("providers.up", "headers = { x-team = \"new\" }")
                .config(),
        )
        .unwrap();
    let got = ask(&proxy.client, Speech::Chat).await;
    assert!(
        got.route.starts_with("up/m-up;failed="),
        "an account that was changed is asked: {}",
        got.route
    );
}
