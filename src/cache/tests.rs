use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::time::{advance, sleep};

use super::*;

type Cache = RenewingCache<usize, &'static str>;

/// Pauses after failures only.
const POLICY: Policy = Policy {
    interval: Duration::ZERO,
    first_pause: SECOND,
    max_pause: MINUTE,
};

/// A source that counts its fetches.
struct TestSource {
    cache: Arc<Cache>,
    fetches: AtomicUsize,
}

impl TestSource {
    fn new(policy: Policy) -> Arc<Self> {
        Arc::new(Self {
            cache: Cache::new(policy),
            fetches: AtomicUsize::new(0),
        })
    }

    /// Returns the value: the n-th fetch gives n, after `time`.
    async fn get(
        self: &Arc<Self>,
        time: Duration,
        valid_for: impl Into<Option<Duration>>,
        good: bool,
    ) -> Result<usize, &'static str> {
        let value = self.get_cached(time, valid_for, good).await;
        value.map(|value| *value)
    }

    async fn get_cached(
        self: &Arc<Self>,
        time: Duration,
        valid_for: impl Into<Option<Duration>>,
        good: bool,
    ) -> Result<Arc<usize>, &'static str> {
        let valid_for = valid_for.into();
        let value = self.cache.get(|| self.clone().fetch(time, valid_for, good));
        value.await.map_err(|why| why.error.unwrap_or("no error"))
    }

    async fn fetch(
        self: Arc<Self>,
        time: Duration,
        valid_for: Option<Duration>,
        good: bool,
    ) -> Result<Fetched<usize>, &'static str> {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(time).await;
        if good {
            Ok(fetched(number, valid_for))
        } else {
            Err("dry")
        }
    }

    fn fetch_count(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

/// A value that is renewed when a tenth of its time is left.
fn fetched(number: usize, valid_for: Option<Duration>) -> Fetched<usize> {
    Fetched {
        value: Arc::new(number),
        renew_after: valid_for.map_or(15 * MINUTE, |time| time - time / 10),
        valid_for,
    }
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
    let source = TestSource::new(POLICY);
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
    let failing = TestSource::new(POLICY);
    let both = tokio::join!(
        failing.get(SECOND, HOUR, false),
        failing.get(SECOND, HOUR, false)
    );
    assert_eq!(both, (Err("dry"), Err("dry")));
    assert_eq!(failing.fetch_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_leaves_does_not_stop_the_fetch() {
    let source = TestSource::new(POLICY);
    let timed_out = tokio::time::timeout(SECOND, source.get(2 * SECOND, HOUR, true)).await;
    assert!(timed_out.is_err());
    assert_eq!(source.get(2 * SECOND, HOUR, true).await, Ok(1));
    assert_eq!(source.fetch_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_renewed_ahead_without_waiting() {
    let source = TestSource::new(POLICY);
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
        "the old value is still valid and is returned at once"
    );
    sleep(2 * SECOND).await;
    assert_eq!(source.get(SECOND, HOUR, true).await, Ok(2));
    assert_eq!(source.fetch_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_old_value_is_used_until_expiry_when_renewal_fails() {
    let source = TestSource::new(POLICY);
    assert_eq!(source.get(SECOND, HOUR, true).await, Ok(1));
    let begun = Instant::now();
    while begun.elapsed() < HOUR - 20 * SECOND {
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
    assert_eq!(source.get(SECOND, HOUR, false).await, Err("dry"));
    sleep(MINUTE).await;
    assert!(
        source.get(SECOND, HOUR, true).await.is_ok(),
        "a repaired source is used"
    );
}

#[tokio::test(start_paused = true)]
async fn failures_pause_fetching() {
    let source = TestSource::new(POLICY);
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
async fn values_expire_or_are_fetched_again() {
    let source = TestSource::new(POLICY);
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
        "a value that is valid for no time has expired as well"
    );
    advance(12 * HOUR).await;
    assert_eq!(source.get(Duration::ZERO, None, false).await, Ok(3));
    settle().await;
    assert_eq!(source.fetch_count(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_interval_lies_between_two_fetches_whatever_comes() {
    let source = TestSource::new(Policy {
        interval: 30 * SECOND,
        first_pause: Duration::ZERO,
        max_pause: Duration::ZERO,
    });
    assert_eq!(source.get(SECOND, HOUR, false).await, Err("dry"));
    advance(9 * SECOND).await;
    let fetch = || source.clone().fetch(SECOND, Some(HOUR), true);
    let refused = source.cache.get(fetch).await.unwrap_err();
    assert_eq!(
        (refused.error, refused.retry_after),
        (Some("dry"), 20 * SECOND)
    );
    advance(20 * SECOND).await;
    let second = source.cache.get(fetch).await.unwrap();
    assert_eq!(
        source.cache.other(&second, fetch).await,
        None,
        "it was fetched a moment ago"
    );
    advance(30 * SECOND).await;
    let (one, two) = tokio::join!(
        source.cache.other(&second, fetch),
        source.cache.other(&second, fetch)
    );
    assert_eq!((one.as_deref(), two.as_deref()), (Some(&3), Some(&3)));
    assert_eq!(
        source.cache.other(&second, fetch).await.as_deref(),
        Some(&3)
    );
    assert_eq!(source.fetch_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_fetched_before_it_is_needed() {
    let source = TestSource::new(POLICY);
    for _ in 0..3 {
        source
            .cache
            .prefetch(|| source.clone().fetch(SECOND, Some(HOUR), true));
    }
    assert_eq!(source.cache.current(), None);
    sleep(2 * SECOND).await;
    assert_eq!(source.cache.current().as_deref(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn a_discarded_value_is_replaced_but_not_in_a_loop() {
    let source = TestSource::new(POLICY);
    let first = source.get_cached(Duration::ZERO, HOUR, true).await.unwrap();
    source.cache.discard(&first, "useless");
    source.cache.discard(&first, "useless");
    let second = source.get_cached(Duration::ZERO, HOUR, true).await.unwrap();
    source.cache.discard(&first, "useless");
    assert_eq!(
        source.get(Duration::ZERO, HOUR, true).await,
        Ok(2),
        "a late verdict on the first value does not affect the second"
    );
    source.cache.discard(&second, "useless");
    assert_eq!(source.get(Duration::ZERO, HOUR, true).await, Err("useless"));
    sleep(2 * SECOND).await;
    let third = source.get_cached(Duration::ZERO, HOUR, true).await.unwrap();
    advance(10 * MINUTE).await;
    source.cache.discard(&third, "useless");
    assert_eq!(
        source.get(Duration::ZERO, HOUR, true).await,
        Ok(4),
        "it had been in use for a while"
    );
}

#[test]
fn workers_share_one_fetch_and_do_not_depend_on_each_other() {
    let cache = Cache::new(POLICY);
    let gate = Arc::new(Semaphore::new(0));
    let worker = |cache: Arc<Cache>, gate: Arc<Semaphore>| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let fetch = || async move {
                gate.acquire().await.unwrap().forget();
                Ok(fetched(7, None))
            };
            runtime.block_on(cache.get(fetch)).map(|value| *value)
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
    let cache = Cache::new(POLICY);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let stopped = runtime();
    let never = || std::future::pending::<Result<Fetched<usize>, &str>>();
    let waiting = stopped.block_on(async {
        tokio::time::timeout(Duration::ZERO, cache.get(never))
            .await
            .is_err()
    });
    assert!(waiting);
    drop(stopped);
    let fetch = || async { Ok(fetched(1, None)) };
    assert_eq!(runtime().block_on(cache.get(fetch)).as_deref(), Ok(&1));
}
