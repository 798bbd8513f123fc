//! Load balancing between the targets of a tier.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn load_follows_the_weights() {
    let (a, b) = (good().await, good().await);
    let setup = Setup::new()
        .provider("a", WIRE, a.addr)
        .provider("b", WIRE, b.addr);
    let proxy = setup
        .model("m", "[[\"a/x\", { target = \"b/y\", weight = 3 }]]")
        .start()
        .await;
    for _ in 0..80 {
        assert_eq!(
            ask(&proxy.client, Dialect::Chat).await.received.text(),
            GOOD_TEXT
        );
    }
    // Two targets are drawn by weight and the faster one is used: `a` gets between (1/4)² and 1 −
    // (3/4)² of the requests.
    assert!(
        (1..=45).contains(&a.count()) && b.count() == 80 - a.count(),
        "{} of 80",
        a.count()
    );
}

/// The first content at once, the rest two seconds later.
fn early() -> Vec<Step> {
    let answer = Answer::tokens(3);
    let rest = answer
        .content(WIRE)
        .into_iter()
        .skip(1)
        .map(Step::Write)
        .chain([Step::Write(answer.closing(WIRE)), Step::End]);
    [
        answer.steps_until(WIRE, Pace::Flat, 1),
        vec![Step::Pause(Duration::from_secs(2))],
        rest.collect(),
    ]
    .concat()
}

/// The whole answer after one second.
fn late() -> Vec<Step> {
    [vec![Step::Pause(Duration::from_secs(1))], answered(&[])].concat()
}

#[tokio::test]
async fn the_faster_target_gets_more_requests_also_after_a_change() {
    const REQUESTS: usize = 200;
    let clock = VirtualClock::start();
    let sooner = Arc::new(AtomicUsize::new(0));
    let up = async |number: usize| {
        let sooner = sooner.clone();
        Upstream::start(move |_, _| {
            if sooner.load(Ordering::Relaxed) == number {
                early()
            } else {
                late()
            }
        })
        .await
    };
    let ups = [up(0).await, up(1).await];
    let setup = Setup::new()
        .provider("a", WIRE, ups[0].addr)
        .provider("b", WIRE, ups[1].addr);
    let proxy = setup.model("m", "[[\"a/x\", \"b/y\"]]").start().await;
    for number in [0, 1] {
        sooner.store(number, Ordering::Relaxed);
        // Let both averages settle first: each answer moves them by a fifth.
        for _ in 0..60 {
            assert_eq!(
                ask_in_time(&clock, &proxy.client, Dialect::Chat)
                    .await
                    .received
                    .text(),
                GOOD_TEXT
            );
        }
        let before = ups[1 - number].count();
        for _ in 0..REQUESTS {
            ask_in_time(&clock, &proxy.client, Dialect::Chat).await;
        }
        let late = ups[1 - number].count() - before;
        // The slower target is expected a quarter of the time (it must be drawn twice); five
        // standard deviations of 6 on either side. Without a preference it would get 100.
        assert!(
            (20..=80).contains(&late),
            "{late} of {REQUESTS} went to the slower target"
        );
    }
}
