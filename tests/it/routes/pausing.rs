//! Paused targets: by their breaker, or because the provider asked clients to wait.

use super::*;

/// Sends requests until `up` is skipped. Returns how often it was called.
async fn until_paused(proxy: &Proxy, up: &Upstream) -> usize {
    for n in 1..=30 {
        ask(&proxy.client, Dialect::Chat).await;
        if up.count() < n {
            return n - 1;
        }
    }
    panic!("it was called every time");
}

#[tokio::test]
async fn a_failing_target_is_skipped_and_its_last_error_reported() {
    let _clock = VirtualClock::start();
    for (status, code, received) in [
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
        assert_eq!(until_paused(&proxy, &up).await, 5);
        let outcome = ask(&proxy.client, Dialect::Chat).await;
        assert_eq!(
            (outcome.status, outcome.error["code"].as_str(), up.count()),
            (received, Some(code), 5),
            "{outcome:?}"
        );
        assert_eq!(
            (&*outcome.route, outcome.retry_after),
            ("up/m-up;skipped=breaker", Some(2))
        );
        assert!(
            !outcome.error.to_string().contains("not now"),
            "an upstream's message is quoted only to the client whose request failed"
        );
        let status = proxy.client.status(&outcome.id).await;
        assert_eq!(
            (steps(&status), &status["upstream"]),
            (vec!["up/m-up skipped breaker".to_owned()], &"none".into())
        );
    }
}

#[tokio::test]
async fn one_of_fifty_requests_probes_a_paused_target() {
    let clock = VirtualClock::start();
    let up = Upstream::start(|_, n| {
        if n < 5 {
            refused(500, &[])
        } else {
            Answer::tokens(3).steps(WIRE, Pace::Gate)
        }
    })
    .await;
    let spare = good().await;
    let proxy = over_two(up.addr, &spare).start().await;
    assert_eq!(until_paused(&proxy, &up).await, 5);
    clock.advance(Duration::from_millis(2100)).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = proxy.client.clone();
        asking.spawn(async move { ask(&client, Dialect::Chat).await });
    }
    let mut others = Vec::new();
    within("all but the probe", async {
        while others.len() < 49 {
            others.push(asking.join_next().await.unwrap().unwrap());
        }
    })
    .await;
    assert!(
        others
            .iter()
            .all(|it| it.route == "up/m-up;skipped=breaker, spare/m-spare"
                && it.received.text() == GOOD_TEXT),
        "{:?}",
        others[0]
    );
    assert_eq!(up.count(), 6, "one probe");
    up.open(99);
    let probe = within("the probe", asking.join_next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (probe.received.text(), &*probe.route),
        (GOOD_TEXT, "up/m-up")
    );
    assert_eq!(
        ask(&proxy.client, Dialect::Chat).await.route,
        "up/m-up",
        "every request goes to it again"
    );
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_failed_probe_pauses_longer_and_a_cancelled_one_is_repeated() {
    let clock = VirtualClock::start();
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
    until_paused(&proxy, &up).await;
    clock.advance(Duration::from_millis(2100)).await;
    let probe = proxy
        .client
        .send(&Request::chat(Dialect::Chat, "m", true).cancel_on_disconnect())
        .await;
    up.requests(6).await;
    assert_eq!(
        ask(&proxy.client, Dialect::Chat).await.route,
        "up/m-up;skipped=breaker, spare/m-spare"
    );
    probe.abort();
    up.closed(5).await;
    proxy.at_rest().await;
    let next = ask(&proxy.client, Dialect::Chat).await;
    assert!(
        next.route.starts_with("up/m-up;failed=upstream_error"),
        "a cancelled probe has no result: the next request probes: {}",
        next.route
    );
    clock.advance(Duration::from_millis(2100)).await;
    assert_eq!(
        ask(&proxy.client, Dialect::Chat).await.route,
        "up/m-up;skipped=breaker, spare/m-spare",
        "the second pause is longer"
    );
}

#[tokio::test]
async fn b22_an_error_in_the_first_event_counts_for_the_breaker() {
    for wire in crate::rig::wires() {
        let _case = Case::new(format!("{wire:?}"));
        let early = vec![
            Step::Head(encode::head(wire)),
            Step::Write(encode::error(wire, "overloaded")),
            Step::End,
        ];
        let up = Upstream::always(early).await;
        let spare = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
        let proxy = Setup::new()
            .over_two(wire, &up, &spare)
            .section("models.m", "retries = 0")
            .start()
            .await;
        assert_eq!(until_paused(&proxy, &up).await, 5);
    }
}

#[tokio::test]
async fn answers_that_break_off_count_for_the_breaker() {
    let steps = [
        Answer::tokens(9).steps_until(WIRE, Pace::Flat, 2),
        vec![Step::Yield, Step::Truncate],
    ]
    .concat();
    let (up, spare) = (Upstream::always(steps).await, good().await);
    let proxy = over_two(up.addr, &spare).start().await;
    assert!(until_paused(&proxy, &up).await <= 10);
}

#[tokio::test]
async fn a_client_disconnect_does_not_count_for_the_breaker() {
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
            .send(&Request::chat(Dialect::Chat, "m", true).cancel_on_disconnect())
            .await;
        up.requests(n + 1).await;
        left.abort();
        up.closed(n).await;
    }
    assert_eq!(ask(&proxy.client, Dialect::Chat).await.route, "up/m-up");
    assert_eq!(spare.count(), 0);
}

#[tokio::test]
async fn a_retry_after_is_respected() {
    let clock = VirtualClock::start();
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
        assert_eq!(
            ask(&proxy.client, Dialect::Chat).await.received.text(),
            GOOD_TEXT
        );
        clock.advance(Duration::from_secs(5)).await;
        assert_eq!(
            ask(&proxy.client, Dialect::Chat).await.route,
            "up/m-up;skipped=retry_after, spare/m-spare"
        );
        assert_eq!(up.count(), 1, "it is not called again");
        clock.advance(Duration::from_secs(15)).await;
        assert_eq!(ask(&proxy.client, Dialect::Chat).await.route, "up/m-up");
    }
}

#[tokio::test]
async fn when_all_targets_wait_the_client_gets_the_shortest_wait() {
    let clock = VirtualClock::start();
    let limited = |after| Upstream::always(refused(429, &[("retry-after", after)]));
    let (up, spare) = (limited("20").await, limited("9").await);
    let proxy = over_two(up.addr, &spare).start().await;
    assert_eq!(ask(&proxy.client, Dialect::Chat).await.status, 429);
    clock.advance(Duration::from_secs(4)).await;
    let outcome = ask(&proxy.client, Dialect::Chat).await;
    assert_eq!(
        (outcome.status, outcome.retry_after),
        (429, Some(5)),
        "{outcome:?}"
    );
    assert_eq!(
        (
            outcome.error["code"].as_str(),
            outcome.error["limit"].as_str()
        ),
        (Some("rate_limited"), Some("provider"))
    );
    assert_eq!(
        outcome.route,
        "up/m-up;skipped=retry_after, spare/m-spare;skipped=retry_after"
    );
    assert_eq!((up.count(), spare.count()), (1, 1));
}

#[tokio::test]
async fn an_exhausted_provider_is_skipped_until_its_reset() {
    let clock = VirtualClock::start();
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
        let _case = Case::new(format!("{fields:?}"));
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
            ask(&proxy.client, Dialect::Chat).await.route,
            "up/m-up",
            "the request that used the last of it was answered"
        );
        assert_eq!(
            ask(&proxy.client, Dialect::Chat).await.route,
            "up/m-up;skipped=full, spare/m-spare"
        );
        clock.advance(Duration::from_secs(10)).await;
        let outcome = ask(&proxy.client, Dialect::Chat).await;
        assert_eq!(
            (
                outcome.status,
                outcome.retry_after,
                outcome.error["limit"].as_str()
            ),
            (429, Some(20), Some("provider")),
            "{outcome:?}"
        );
        clock.advance(Duration::from_secs(20)).await;
        assert_eq!(ask(&proxy.client, Dialect::Chat).await.route, "up/m-up");
    }
}

#[tokio::test]
async fn a_retry_after_pauses_a_provider_for_an_hour_at_most() {
    let _clock = VirtualClock::start();
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
    assert_eq!(ask(&proxy.client, Dialect::Chat).await.status, 429);
    assert_eq!(
        ask(&proxy.client, Dialect::Chat).await.retry_after,
        Some(3600)
    );
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(
        ask(&proxy.client, Dialect::Chat).await.received.text(),
        GOOD_TEXT
    );
}

#[tokio::test]
async fn a_reload_keeps_the_health_of_unchanged_targets() {
    let _clock = VirtualClock::start();
    let (up, spare) = (Upstream::always(refused(500, &[])).await, good().await);
    let setup = over_two(up.addr, &spare);
    let proxy = setup.clone().start().await;
    until_paused(&proxy, &up).await;
    proxy
        .running
        .reload(setup.clone().section("models.m", "sticky = true").config())
        .unwrap();
    assert_eq!(
        ask(&proxy.client, Dialect::Chat).await.route,
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
    let outcome = ask(&proxy.client, Dialect::Chat).await;
    assert!(
        outcome.route.starts_with("up/m-up;failed="),
        "a changed provider is tried again: {}",
        outcome.route
    );
}
