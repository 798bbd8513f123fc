//! Targets of a tier share the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn shares_are_kept_to() {
    let (a, b) = (good().await, good().await);
    let setup = Setup::new()
        .provider("a", WIRE, a.addr)
        .provider("b", WIRE, b.addr);
    let proxy = setup
        .model("m", "[[\"a/x\", { target = \"b/y\", weight = 3 }]]")
        .start()
        .await;
    for _ in 0..80 {
        assert_eq!(ask(&proxy.client, Speech::Chat).await.told.text(), SAID);
    }
    // Drawn by weight, and then the faster of two: from the square of a quarter to what is left of
    // three quarters squared.
    assert!(
        (1..=45).contains(&a.count()) && b.count() == 80 - a.count(),
        "{} of 80",
        a.count()
    );
}

/// First content at once, the rest two seconds later.
fn early() -> Vec<Step> {
    let say = Say::tokens(3);
    let rest = say
        .content(WIRE)
        .into_iter()
        .skip(1)
        .map(Step::Write)
        .chain([Step::Write(say.closing(WIRE)), Step::End]);
    [
        say.steps_until(WIRE, Pace::Flat, 1),
        vec![Step::Pause(Duration::from_secs(2))],
        rest.collect(),
    ]
    .concat()
}

/// All of it after one second.
fn late() -> Vec<Step> {
    [vec![Step::Pause(Duration::from_secs(1))], answered(&[])].concat()
}

#[tokio::test]
async fn who_has_the_first_content_sooner_is_asked_more_also_when_that_changes() {
    const REQUESTS: usize = 200;
    let clock = Virtual::start();
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
        // Until both are known as they are now: an average moves by a fifth with each answer.
        for _ in 0..60 {
            assert_eq!(
                ask_in_time(&clock, &proxy.client, Speech::Chat)
                    .await
                    .told
                    .text(),
                SAID
            );
        }
        let before = ups[1 - number].count();
        for _ in 0..REQUESTS {
            ask_in_time(&clock, &proxy.client, Speech::Chat).await;
        }
        let late = ups[1 - number].count() - before;
        // A quarter, when it is drawn twice; five deviations (6) on either side. Without a
        // preference it were 100.
        assert!(
            (20..=80).contains(&late),
            "{late} of {REQUESTS} went to the later one"
        );
    }
}
