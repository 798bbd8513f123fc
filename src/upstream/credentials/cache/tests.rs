use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderName, HeaderValue};
use tokio::sync::Semaphore;
use tokio::time::{advance, sleep};

use super::*;

/// A source that counts its fetches.
#[derive(Default)]
struct TestSource {
    cache: Arc<Cache>,
    fetches: AtomicUsize,
}

impl TestSource {
    /// Returns the number of the secret: the n-th fetch gives secret n, after `time`.
    async fn get(
        self: &Arc<Self>,
        time: Duration,
        life: impl Into<Option<Duration>>,
        good: bool,
    ) -> Result<usize, Problem> {
        self.get_cached(time, life, good)
            .await
            .map(|cached| number(&cached))
    }

    async fn get_cached(
        self: &Arc<Self>,
        time: Duration,
        life: impl Into<Option<Duration>>,
        good: bool,
    ) -> Outcome {
        let lifetime = life.into();
        let fetch = || {
            let source = self.clone();
            async move {
                let number = source.fetches.fetch_add(1, Ordering::SeqCst) + 1;
                sleep(time).await;
                if good {
                    Ok(FetchedSecret {
                        secret: secret(number),
                        lifetime,
                    })
                } else {
                    Err(Problem::new("dry"))
                }
            }
        };
        self.cache.get(fetch).await
    }

    fn fetch_count(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

fn secret(number: usize) -> Secret {
    Secret::Header(HeaderName::from_static("n"), HeaderValue::from(number))
}

fn number(cached: &CachedSecret) -> usize {
    let Secret::Header(_, value) = &cached.secret else {
        panic!("{cached:?}")
    };
    value.to_str().unwrap().parse().unwrap()
}

/// Lets started tasks complete.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn concurrent_requests_cause_one_fetch() {
    let source = Arc::new(TestSource::default());
    let all: Vec<_> = (0..50)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(async move { source.get(SECOND, HOUR, true).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(1));
    }
    assert_eq!(source.fetch_count(), 1);
    let failing = Arc::new(TestSource::default());
    let both = tokio::join!(
        failing.get(SECOND, HOUR, false),
        failing.get(SECOND, HOUR, false)
    );
    assert_eq!(both, (Err(Problem::new("dry")), Err(Problem::new("dry"))));
    assert_eq!(failing.fetch_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_leaves_does_not_stop_the_fetch() {
    let source = Arc::new(TestSource::default());
    let timed_out = tokio::time::timeout(SECOND, source.get(2 * SECOND, HOUR, true)).await;
    assert!(timed_out.is_err());
    assert_eq!(source.get(2 * SECOND, HOUR, true).await, Ok(1));
    assert_eq!(source.fetch_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_renewed_ahead_without_waiting() {
    let source = Arc::new(TestSource::default());
    assert_eq!(source.get(SECOND, HOUR, true).await, Ok(1));
    advance(45 * MINUTE).await;
    assert_eq!(source.get(SECOND, HOUR, true).await, Ok(1));
    settle().await;
    assert_eq!(source.fetch_count(), 1, "it is not due for renewal");
    advance(10 * MINUTE).await;
    let before = Instant::now();
    for _ in 0..10 {
        assert_eq!(source.get(SECOND, HOUR, true).await, Ok(1));
    }
    assert_eq!(
        Instant::now(),
        before,
        "the old secret is still valid and is returned at once"
    );
    sleep(2 * SECOND).await;
    assert_eq!(source.get(SECOND, HOUR, true).await, Ok(2));
    assert_eq!(source.fetch_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_old_secret_is_used_until_expiry_when_renewal_fails() {
    let source = Arc::new(TestSource::default());
    assert_eq!(source.get(SECOND, HOUR, true).await, Ok(1));
    let begun = Instant::now();
    while begun.elapsed() < HOUR - 2 * EXPIRY_MARGIN {
        assert_eq!(
            source.get(SECOND, HOUR, false).await,
            Ok(1),
            "{:?}",
            begun.elapsed()
        );
        sleep(SECOND).await;
    }
    let failed = source.fetch_count() - 1;
    assert!(
        (8..30).contains(&failed),
        "{failed} fetches in the last minutes: there are pauses between them"
    );
    sleep(MINUTE).await;
    assert_eq!(
        source.get(SECOND, HOUR, false).await,
        Err(Problem::new("dry"))
    );
    sleep(MINUTE).await;
    assert!(
        source.get(SECOND, HOUR, true).await.is_ok(),
        "a repaired source is used"
    );
}

#[tokio::test(start_paused = true)]
async fn failures_pause_fetching() {
    let source = Arc::new(TestSource::default());
    let begun = Instant::now();
    while begun.elapsed() < 10 * MINUTE {
        assert!(source.get(Duration::ZERO, HOUR, false).await.is_err());
        sleep(Duration::from_millis(100)).await;
    }
    assert!(
        (12..=18).contains(&source.fetch_count()),
        "{}",
        source.fetch_count()
    );
}

#[tokio::test(start_paused = true)]
async fn short_lifetimes_expire_and_unlimited_secrets_are_fetched_again() {
    let source = Arc::new(TestSource::default());
    assert_eq!(source.get(Duration::ZERO, 4 * SECOND, true).await, Ok(1));
    advance(SECOND).await;
    assert_eq!(source.get(Duration::ZERO, 4 * SECOND, true).await, Ok(1));
    advance(3 * SECOND).await;
    assert_eq!(
        source.get(Duration::ZERO, Duration::ZERO, true).await,
        Ok(2),
        "it has expired"
    );
    assert_eq!(
        source.get(Duration::ZERO, None, true).await,
        Ok(3),
        "a secret without any lifetime has expired as well"
    );
    advance(12 * HOUR).await;
    assert_eq!(source.get(Duration::ZERO, None, false).await, Ok(3));
    settle().await;
    assert_eq!(source.fetch_count(), 4);
    let unlimited = Arc::new(TestSource::default());
    assert_eq!(
        unlimited.get(Duration::ZERO, Duration::MAX, true).await,
        Ok(1)
    );
    advance(24 * HOUR).await;
    assert_eq!(
        unlimited.get(Duration::ZERO, Duration::MAX, true).await,
        Ok(2),
        "no lifetime of more than a day is accepted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejected_secret_is_replaced_but_not_in_a_loop() {
    let source = Arc::new(TestSource::default());
    let first = source.get_cached(Duration::ZERO, HOUR, true).await.unwrap();
    source.cache.invalidate(&first);
    source.cache.invalidate(&first);
    let second = source.get_cached(Duration::ZERO, HOUR, true).await.unwrap();
    source.cache.invalidate(&first);
    assert_eq!(
        source.get(Duration::ZERO, HOUR, true).await,
        Ok(2),
        "a late rejection of the first secret does not affect the second"
    );
    source.cache.invalidate(&second);
    let problem = source.get(Duration::ZERO, HOUR, true).await.unwrap_err();
    assert!(
        problem.message.contains("rejects every fetched credential"),
        "{problem:?}"
    );
    sleep(2 * SECOND).await;
    let third = source.get_cached(Duration::ZERO, HOUR, true).await.unwrap();
    advance(10 * MINUTE).await;
    source.cache.invalidate(&third);
    assert_eq!(
        source.get(Duration::ZERO, HOUR, true).await,
        Ok(4),
        "it had been in use for a while"
    );
}

#[test]
fn workers_share_one_fetch_and_do_not_depend_on_each_other() {
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
                Ok(FetchedSecret {
                    secret: secret(7),
                    lifetime: None,
                })
            };
            runtime
                .block_on(cache.get(fetch))
                .map(|cached| number(&cached))
        })
    };
    let workers: Vec<_> = (0..4)
        .map(|_| worker(cache.clone(), gate.clone()))
        .collect();
    gate.add_permits(1);
    assert!(workers.into_iter().all(|one| one.join().unwrap() == Ok(7)));
}

#[test]
fn a_stopped_worker_leaves_no_pending_fetch() {
    let cache = Arc::new(Cache::default());
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let stopped = runtime();
    let never = || std::future::pending::<Result<FetchedSecret, Problem>>();
    let waiting = stopped.block_on(async {
        tokio::time::timeout(Duration::ZERO, cache.get(never))
            .await
            .is_err()
    });
    assert!(waiting);
    drop(stopped);
    let fetch = || async {
        Ok(FetchedSecret {
            secret: secret(1),
            lifetime: None,
        })
    };
    assert_eq!(
        runtime()
            .block_on(cache.get(fetch))
            .map(|cached| number(&cached)),
        Ok(1)
    );
}
