//! Sticky routing: a conversation keeps its target.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;

/// Model `m` over a sticky tier of three targets.
fn over(addrs: [SocketAddr; 3]) -> Setup {
    let mut setup = Setup::new();
    for (n, addr) in addrs.into_iter().enumerate() {
        setup = setup.provider(&format!("p{n}"), WIRE, addr);
    }
    setup
        .model("m", "[[\"p0/m\", \"p1/m\", \"p2/m\"]]")
        .section("models.m", "sticky = true\nretries = 0")
}

/// Three upstreams that succeed.
async fn three() -> [Upstream; 3] {
    [good().await, good().await, good().await]
}

/// A conversation that begins with `words`, after `turns` further turns.
fn turn(words: &str, turns: usize) -> Request {
    let mut messages = vec![
        json!({"role": "system", "content": "Be brief."}),
        json!({"role": "user", "content": words}),
    ];
    for n in 0..turns {
        messages.push(json!({"role": "assistant", "content": format!("answer {n}")}));
        messages.push(json!({"role": "user", "content": format!("and {n}?")}));
    }
    Request::chat(Dialect::Chat, "m", true).set("messages", json!(messages))
}

#[tokio::test]
async fn every_turn_of_a_conversation_goes_to_the_same_target() {
    let ups = three().await;
    let proxy = over(ups.each_ref().map(|up| up.addr)).start().await;
    let mut found = BTreeSet::new();
    for conversation in 0..20 {
        let words = format!("question {conversation}");
        let first = send(&proxy.client, &turn(&words, 0)).await.route;
        for turns in 1..4 {
            assert_eq!(send(&proxy.client, &turn(&words, turns)).await.route, first);
        }
        found.insert(first);
    }
    assert_eq!(found.len(), 3, "conversations are spread over the targets");
}

#[tokio::test]
async fn a_conversation_id_takes_precedence_over_the_text() {
    let ups = three().await;
    let proxy = over(ups.each_ref().map(|up| up.addr)).start().await;
    let of = async |request: Request| send(&proxy.client, &request).await;
    let first = of(turn("a", 0).set("prompt_cache_key", "k".into()))
        .await
        .route;
    for words in 0..10 {
        assert_eq!(
            of(turn(&words.to_string(), 0).set("prompt_cache_key", "k".into()))
                .await
                .route,
            first
        );
    }
    let chat = |chat: &str, words: usize| {
        Request::chat(Dialect::Ui, "m", true)
            .set("id", chat.into())
            .with_text(&words.to_string())
    };
    let mut answered = BTreeSet::new();
    for words in 0..10 {
        let outcome = of(chat("a-chat-of-the-callers-own", words)).await;
        answered.insert(steps(&proxy.client.status(&outcome.id).await).join(", "));
    }
    assert_eq!(answered.len(), 1, "{answered:?}");
}

#[tokio::test]
async fn a_conversation_without_its_target_always_gets_the_same_fallback() {
    let (ups, away) = (three().await, refusing_address().await);
    let addrs = ups.each_ref().map(|up| up.addr);
    let proxy = over(addrs).start().await;
    for words in (0..6).map(|n| format!("question {n}")) {
        let home = send(&proxy.client, &turn(&words, 0)).await.route;
        let number = usize::from(home.as_bytes()[1] - b'0');
        let mut without = addrs;
        without[number] = away;
        let proxy = over(without).start().await;
        let first = send(&proxy.client, &turn(&words, 0)).await.route;
        let next = first.rsplit(", ").next().unwrap();
        assert!(
            first.starts_with(&format!("{home};failed=upstream_error")) && next != home,
            "{first}"
        );
        for _ in 0..8 {
            let route = send(&proxy.client, &turn(&words, 1)).await.route;
            assert_eq!(
                route.rsplit(", ").next(),
                Some(next),
                "also while its breaker is open: {route}"
            );
        }
    }
}

#[tokio::test]
async fn a_conversation_returns_to_its_recovered_target() {
    const NONE: usize = usize::MAX;
    let clock = VirtualClock::start();
    let broken = Arc::new(AtomicUsize::new(NONE));
    let up = async |number: usize| {
        let broken = broken.clone();
        Upstream::start(move |_, _| {
            if broken.load(Ordering::Relaxed) == number {
                refused(500, &[])
            } else {
                answered(&[])
            }
        })
        .await
    };
    let ups = [up(0).await, up(1).await, up(2).await];
    let proxy = over(ups.each_ref().map(|up| up.addr)).start().await;
    let route = async |turns| send(&proxy.client, &turn("Hello", turns)).await.route;
    let home = route(0).await;
    let number = usize::from(home.as_bytes()[1] - b'0');
    broken.store(number, Ordering::Relaxed);
    let mut nexts = BTreeSet::new();
    for turns in 1..=8 {
        let route = route(turns).await;
        let (first, next) = route.split_once(", ").unwrap();
        let outcome = if turns <= 5 {
            ";failed=upstream_error"
        } else {
            ";skipped=breaker"
        };
        assert!(first.starts_with(&format!("{home}{outcome}")), "{route}");
        nexts.insert(next.to_owned());
    }
    assert_eq!((nexts.len(), ups[number].count()), (1, 6), "{nexts:?}");
    broken.store(NONE, Ordering::Relaxed);
    assert_ne!(route(9).await, home, "its breaker is still open");
    clock.advance(Duration::from_millis(2100)).await;
    for turns in 10..13 {
        assert_eq!(route(turns).await, home);
    }
}
