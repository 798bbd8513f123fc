use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderName, HeaderValue};
use tokio::sync::Semaphore;
use tokio::time::{advance, sleep};

use super::*;

/// A source that counts what is asked of it.
#[derive(Default)]
struct Spring {
    cache: Arc<Cache>,
    fetches: AtomicUsize,
}

impl Spring {
    /// The number of the secret that is got: the n-th fetch brings secret n, after `time`.
    async fn draw(
        self: &Arc<Self>,
        time: Duration,
        life: impl Into<Option<Duration>>,
        good: bool,
    ) -> Result<usize, Problem> {
        self.held(time, life, good).await.map(|held| number(&held))
    }

    async fn held(
        self: &Arc<Self>,
        time: Duration,
        life: impl Into<Option<Duration>>,
        good: bool,
    ) -> Outcome {
        let lifetime = life.into();
        let fetch = || {
            let spring = self.clone();
            async move {
                let number = spring.fetches.fetch_add(1, Ordering::SeqCst) + 1;
                sleep(time).await;
                if good {
                    Ok(Fetched {
                        secret: secret(number),
                        lifetime,
                    })
                } else {
                    Err(Problem::new("dry"))
                }
            }
        };
        self.cache.take(fetch).await
    }

    fn count(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

fn secret(number: usize) -> Secret {
    Secret::Header(HeaderName::from_static("n"), HeaderValue::from(number))
}

fn number(held: &Held) -> usize {
    let Secret::Header(_, value) = &held.secret else {
        panic!("{held:?}")
    };
    value.to_str().unwrap().parse().unwrap()
}

/// Lets what was begun come to its end.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn many_at_once_cause_one_fetch() {
    let spring = Arc::new(Spring::default());
    let all: Vec<_> = (0..50)
        .map(|_| {
            let spring = spring.clone();
            tokio::spawn(async move { spring.draw(SECOND, HOUR, true).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(1));
    }
    assert_eq!(spring.count(), 1);
    let failing = Arc::new(Spring::default());
    let both = tokio::join!(
        failing.draw(SECOND, HOUR, false),
        failing.draw(SECOND, HOUR, false)
    );
    assert_eq!(both, (Err(Problem::new("dry")), Err(Problem::new("dry"))));
    assert_eq!(failing.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_stops_no_fetch() {
    let spring = Arc::new(Spring::default());
    let impatient = tokio::time::timeout(SECOND, spring.draw(2 * SECOND, HOUR, true)).await;
    assert!(impatient.is_err());
    assert_eq!(spring.draw(2 * SECOND, HOUR, true).await, Ok(1));
    assert_eq!(spring.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_ahead_and_nobody_waits_for_it() {
    let spring = Arc::new(Spring::default());
    assert_eq!(spring.draw(SECOND, HOUR, true).await, Ok(1));
    advance(45 * MINUTE).await;
    assert_eq!(spring.draw(SECOND, HOUR, true).await, Ok(1));
    settle().await;
    assert_eq!(spring.count(), 1, "it is young");
    advance(10 * MINUTE).await;
    let before = Instant::now();
    for _ in 0..10 {
        assert_eq!(spring.draw(SECOND, HOUR, true).await, Ok(1));
    }
    assert_eq!(
        Instant::now(),
        before,
        "the old one is good, and is there at once"
    );
    sleep(2 * SECOND).await;
    assert_eq!(spring.draw(SECOND, HOUR, true).await, Ok(2));
    assert_eq!(spring.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_renewal_fails_the_old_one_serves_to_its_end() {
    let spring = Arc::new(Spring::default());
    assert_eq!(spring.draw(SECOND, HOUR, true).await, Ok(1));
    let begun = Instant::now();
    while begun.elapsed() < HOUR - 2 * MARGIN {
        assert_eq!(
            spring.draw(SECOND, HOUR, false).await,
            Ok(1),
            "{:?}",
            begun.elapsed()
        );
        sleep(SECOND).await;
    }
    let failed = spring.count() - 1;
    assert!(
        (8..30).contains(&failed),
        "{failed} in the last minutes: with pauses in between"
    );
    sleep(MINUTE).await;
    assert_eq!(
        spring.draw(SECOND, HOUR, false).await,
        Err(Problem::new("dry"))
    );
    sleep(MINUTE).await;
    assert!(
        spring.draw(SECOND, HOUR, true).await.is_ok(),
        "and what was mended is found"
    );
}

#[tokio::test(start_paused = true)]
async fn after_failures_nobody_is_asked_for_a_while() {
    let spring = Arc::new(Spring::default());
    let begun = Instant::now();
    while begun.elapsed() < 10 * MINUTE {
        assert!(spring.draw(Duration::ZERO, HOUR, false).await.is_err());
        sleep(Duration::from_millis(100)).await;
    }
    assert!((12..=18).contains(&spring.count()), "{}", spring.count());
}

#[tokio::test(start_paused = true)]
async fn short_lives_are_used_and_endless_ones_are_looked_at_again() {
    let spring = Arc::new(Spring::default());
    assert_eq!(spring.draw(Duration::ZERO, 4 * SECOND, true).await, Ok(1));
    advance(SECOND).await;
    assert_eq!(spring.draw(Duration::ZERO, 4 * SECOND, true).await, Ok(1));
    advance(3 * SECOND).await;
    assert_eq!(
        spring.draw(Duration::ZERO, Duration::ZERO, true).await,
        Ok(2),
        "it has ended"
    );
    assert_eq!(
        spring.draw(Duration::ZERO, None, true).await,
        Ok(3),
        "and so has this one, which had no life at all"
    );
    advance(12 * HOUR).await;
    assert_eq!(spring.draw(Duration::ZERO, None, false).await, Ok(3));
    settle().await;
    assert_eq!(spring.count(), 4);
    let patient = Arc::new(Spring::default());
    assert_eq!(
        patient.draw(Duration::ZERO, Duration::MAX, true).await,
        Ok(1)
    );
    advance(24 * HOUR).await;
    assert_eq!(
        patient.draw(Duration::ZERO, Duration::MAX, true).await,
        Ok(2),
        "nothing is believed for longer than a day"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_replaced_but_not_in_a_loop() {
    let spring = Arc::new(Spring::default());
    let first = spring.held(Duration::ZERO, HOUR, true).await.unwrap();
    spring.cache.refused(&first);
    spring.cache.refused(&first);
    let second = spring.held(Duration::ZERO, HOUR, true).await.unwrap();
    spring.cache.refused(&first);
    assert_eq!(
        spring.draw(Duration::ZERO, HOUR, true).await,
        Ok(2),
        "a late word about the first is none about the second"
    );
    spring.cache.refused(&second);
    let problem = spring.draw(Duration::ZERO, HOUR, true).await.unwrap_err();
    assert!(problem.what.contains("refuses every one"), "{problem:?}");
    sleep(2 * SECOND).await;
    let third = spring.held(Duration::ZERO, HOUR, true).await.unwrap();
    advance(10 * MINUTE).await;
    spring.cache.refused(&third);
    assert_eq!(
        spring.draw(Duration::ZERO, HOUR, true).await,
        Ok(4),
        "it had served for a while"
    );
}

#[test]
fn workers_share_it_and_none_depends_on_another() {
    let cache = Arc::new(Cache::default());
    let gate = Arc::new(Semaphore::new(0));
    let worker = |cache: Arc<Cache>, gate: Arc<Semaphore>| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let fetch = || async move {
                gate.acquire().await.unwrap().forget();
                Ok(Fetched {
                    secret: secret(7),
                    lifetime: None,
                })
            };
            runtime
                .block_on(cache.take(fetch))
                .map(|held| number(&held))
        })
    };
    let workers: Vec<_> = (0..4)
        .map(|_| worker(cache.clone(), gate.clone()))
        .collect();
    gate.add_permits(1);
    assert!(workers.into_iter().all(|one| one.join().unwrap() == Ok(7)));
}

#[test]
fn a_worker_that_stops_leaves_no_fetch_behind() {
    let cache = Arc::new(Cache::default());
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let stopped = runtime();
    let never = || std::future::pending::<Result<Fetched, Problem>>();
    let waiting = stopped.block_on(async {
        tokio::time::timeout(Duration::ZERO, cache.take(never))
            .await
            .is_err()
    });
    assert!(waiting);
    drop(stopped);
    let fetch = || async {
        Ok(Fetched {
            secret: secret(1),
            lifetime: None,
        })
    };
    assert_eq!(
        runtime()
            .block_on(cache.take(fetch))
            .map(|held| number(&held)),
        Ok(1)
    );
}
