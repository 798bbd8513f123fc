//! Tests of all limits together, on a paused clock that only the tests advance.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::advance;

use super::*;
use crate::model::fault::Code;
use crate::model::ids::CallerId;
use crate::model::outcome::Charge;

const NAMES: [&str; 7] = ["ip", "key", "team", "user", "model", "global", "provider"];

fn limit(requests: u32, tokens: u32, streams: u32) -> Limit {
    Limit {
        requests_per_minute: NonZeroU32::new(requests),
        tokens_per_minute: NonZeroU32::new(tokens),
        concurrent_streams: NonZeroU32::new(streams),
        burst: None,
    }
}

/// Settings with one limit, of that scope.
fn settings(scope: &str, limit: Limit) -> Settings {
    let mut settings = Settings::default();
    set(&mut settings, scope, limit);
    settings
}

fn set(settings: &mut Settings, scope: &str, limit: Limit) {
    let named = || [("it".into(), limit)].into();
    match scope {
        "ip" => settings.ip = limit,
        "key" => settings.keys = named(),
        "team" => settings.teams = named(),
        "user" => settings.user = limit,
        "model" => settings.models = named(),
        "global" => settings.global = limit,
        _ => settings.providers = named(),
    }
}

fn table(settings: Settings) -> Arc<LimitTable> {
    Arc::new(LimitTable::new(&Arc::default(), settings))
}

/// Admits a request to which a limit of every scope applies.
fn ask_for(table: &Arc<LimitTable>, need: Need, providers: &[ByteString]) -> Result<Pass, Fault> {
    let it = ByteString::from_static("it");
    let subject = Subject {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        caller: &CallerId::Anonymous,
        key: Some(&it),
        team: Some(&it),
        user: Some("it"),
        model: &it,
        own: None,
    };
    table
        .admit(&subject, providers.iter(), need)
        .map_err(|refused| refused.fault)
}

fn ask(table: &Arc<LimitTable>, input: u64, output: u64) -> Result<Pass, Fault> {
    ask_for(table, Need { input, output }, &["it".into()])
}

/// Marks the upstream as asked and as the one that answers.
fn opened(mut pass: Pass) -> Pass {
    pass.mark_asked();
    let lane = pass.provider_pass(&"it".into()).unwrap();
    pass.keep(lane);
    pass
}

fn remaining(table: &Arc<LimitTable>) -> u32 {
    ask(table, 0, 0)
        .unwrap()
        .limit_states
        .tokens
        .unwrap()
        .remaining
}

#[tokio::test(start_paused = true)]
async fn each_limit_counts_its_unit_and_is_named_in_the_fault() {
    for scope in NAMES {
        let requests = table(settings(scope, limit(2, 0, 0)));
        // Requests per address are counted at the door.
        if scope != "ip" {
            drop([
                opened(ask(&requests, 1, 1).unwrap()),
                opened(ask(&requests, 1, 1).unwrap()),
            ]);
            let fault = ask(&requests, 1, 1).unwrap_err();
            assert_eq!(
                (fault.limit, fault.code, fault.retry_after),
                (
                    Some(scope),
                    Code::RateLimited,
                    Some(Duration::from_secs(30))
                )
            );
            advance(Duration::from_secs(30)).await;
            assert!(ask(&requests, 1, 1).is_ok());
        }
        let streams = table(settings(scope, limit(0, 0, 1)));
        let one = ask(&streams, 1, 1).unwrap();
        assert_eq!(ask(&streams, 1, 1).unwrap_err().limit, Some(scope));
        drop(one);
        assert!(ask(&streams, 1, 1).is_ok());
        let tokens = table(settings(scope, limit(0, 600, 0)));
        let mut first = opened(ask(&tokens, 100, 300).unwrap());
        let fault = ask(&tokens, 100, 300).unwrap_err();
        assert_eq!(
            (fault.limit, fault.native_type.as_deref(), fault.retry_after),
            (Some(scope), Some("tokens"), Some(Duration::from_secs(20)))
        );
        assert!(
            fault
                .message
                .contains("600 tokens per minute has 200 left, and this request needs about 400"),
            "{}",
            fault.message
        );
        first.settle(Charge::Tokens(150));
        assert!(ask(&tokens, 100, 300).is_ok());
        assert_eq!(
            (tokens.held(), streams.held()),
            (HeldTotals::default(), HeldTotals::default())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_one_limit_takes_nothing_from_another() {
    for short in NAMES {
        for other in NAMES.into_iter().filter(|other| *other != short) {
            for spent in [limit(1, 0, 0), limit(0, 10, 0), limit(0, 0, 1)] {
                if short == "ip" && spent.requests_per_minute.is_some() {
                    continue;
                }
                let mut settings = settings(short, spent);
                set(&mut settings, other, limit(5, 1000, 5));
                let table = table(settings);
                let held = opened(ask(&table, 10, 0).unwrap());
                for _ in 0..20 {
                    assert_eq!(
                        ask(&table, 10, 0).unwrap_err().limit,
                        Some(short),
                        "{short} before {other}"
                    );
                }
                let (slots, taken) = (
                    table.held().slots,
                    if spent.tokens_per_minute.is_some() {
                        20
                    } else {
                        10
                    },
                );
                assert_eq!(
                    (slots, table.held().reserved),
                    (2, taken),
                    "{short} before {other}: each account holds one request"
                );
                drop(held);
                assert_eq!(table.held(), HeldTotals::default());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_of_fifty_requests_fit_a_limit_for_ten() {
    let table = table(settings("key", limit(0, 11_000, 0)));
    let passes: Vec<_> = (0..50)
        .filter_map(|_| ask(&table, 100, 1000).ok())
        .collect();
    assert_eq!(passes.len(), 10);
    drop(passes);
    assert_eq!(
        (remaining(&table), table.held()),
        (11_000, HeldTotals::default()),
        "no upstream was asked: everything is given back"
    );
}

#[tokio::test(start_paused = true)]
async fn concurrent_decisions_never_exceed_a_limit() {
    let mut settings = settings("global", limit(0, 11_000, 0));
    set(&mut settings, "key", limit(1000, 1_000_000, 1000));
    set(&mut settings, "provider", limit(1000, 1_000_000, 1000));
    let table = table(settings);
    let admitted: usize = std::thread::scope(|scope| {
        let fifty = || {
            (0..50)
                .filter_map(|_| ask(&table, 100, 1000).ok())
                .map(std::mem::forget)
                .count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fifty)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!((admitted, table.held().slots), (10, 30));
}

#[tokio::test(start_paused = true)]
async fn a_prompt_larger_than_a_limit_is_rejected_as_invalid() {
    for scope in NAMES {
        let table = table(settings(scope, limit(0, 100, 0)));
        let fault = ask(&table, 101, 0).unwrap_err();
        assert_eq!(
            (fault.code, fault.limit, fault.status.as_u16()),
            (Code::InvalidRequest, Some(scope), 400)
        );
        assert!(
            fault.message.contains("about 101 tokens")
                && fault.message.contains("100 tokens per minute"),
            "{}",
            fault.message
        );
        assert!(
            ask(&table, 100, 1_000_000).is_ok(),
            "no more is reserved than the account can hold"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn output_beyond_the_reservation_is_taken_while_streaming_and_settled_once() {
    let table = table(settings("key", limit(0, 10_000, 0)));
    let mut pass = opened(ask(&table, 100, 100).unwrap());
    assert_eq!(remaining(&table), 9800);
    pass.record_output(400).unwrap();
    assert_eq!(remaining(&table), 9800, "the reservation covers this much");
    for bytes in 401..=8000 {
        pass.record_output(bytes).unwrap();
        let owed = 100 + bytes.div_ceil(4);
        let lag = u64::from(remaining(&table)) + owed - 10_000;
        assert!(lag <= 64, "{lag} tokens behind");
    }
    pass.settle(Charge::Tokens(2500));
    pass.settle(Charge::Tokens(9000));
    drop(pass);
    assert_eq!(
        (remaining(&table), table.held()),
        (7500, HeldTotals::default()),
        "only the first settlement counts"
    );
}

#[tokio::test(start_paused = true)]
async fn debt_delays_the_next_request() {
    let table = table(settings("key", limit(0, 6000, 0)));
    let mut pass = opened(ask(&table, 100, 100).unwrap());
    pass.settle(Charge::Tokens(12_000));
    let fault = ask(&table, 100, 0).unwrap_err();
    assert_eq!(fault.retry_after, Some(Duration::from_secs(61)));
    advance(Duration::from_secs(61)).await;
    assert!(ask(&table, 100, 0).is_ok() && ask(&table, 101, 0).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pass_pays_what_was_recorded() {
    let table = table(settings("key", limit(10, 10_000, 1)));
    drop(ask(&table, 100, 1000).unwrap());
    assert_eq!(
        ask(&table, 0, 0)
            .unwrap()
            .limit_states
            .requests
            .unwrap()
            .remaining,
        9,
        "no upstream was asked: the request does not count"
    );
    drop(opened(ask(&table, 100, 1000).unwrap()));
    assert_eq!(
        remaining(&table),
        9900,
        "an upstream was asked: the prompt is charged"
    );
    let mut pass = opened(ask(&table, 100, 1000).unwrap());
    pass.record_output(8000).unwrap();
    drop(pass);
    assert_eq!(
        (remaining(&table), table.held()),
        (7800, HeldTotals::default()),
        "streamed output is charged"
    );
    assert_eq!(
        ask(&table, 0, 0)
            .unwrap()
            .limit_states
            .requests
            .unwrap()
            .remaining,
        7
    );
    let mut pass = opened(ask(&table, 100, 1000).unwrap());
    pass.release();
    assert!(
        ask(&table, 100, 1000).is_ok(),
        "the slot is free before the usage is known"
    );
    pass.settle(Charge::Tokens(100));
    assert_eq!(
        (remaining(&table), table.held()),
        (7700, HeldTotals::default())
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_cut_only_when_an_account_is_exhausted() {
    for scope in NAMES {
        let table = table(Settings {
            cut: true,
            ..settings(scope, limit(0, 1000, 0))
        });
        let mut pass = opened(ask(&table, 100, 100).unwrap());
        let results: Vec<_> = (0..2000).map(|at| pass.record_output(at * 4)).collect();
        let cut = results.iter().position(Result::is_err).unwrap();
        assert!((901..=965).contains(&cut), "cut after {cut} tokens");
        let fault = results.into_iter().find_map(Result::err).unwrap();
        assert_eq!((fault.code, fault.limit), (Code::RateLimited, Some(scope)));
        let finishing = Arc::new(LimitTable::new(
            &Arc::default(),
            settings(scope, limit(0, 1000, 0)),
        ));
        let mut pass = opened(ask(&finishing, 100, 100).unwrap());
        assert!((0..2000).all(|at| pass.record_output(at * 4).is_ok()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_room_is_skipped_and_each_attempt_holds_one_slot() {
    let both = ["a".into(), "b".into()];
    let one = limit(0, 0, 1);
    let settings = Settings {
        providers: both.iter().cloned().map(|name| (name, one)).collect(),
        ..Settings::default()
    };
    let table = table(settings);
    let [a, b]: [ByteString; 2] = both.clone();
    let ask = || ask_for(&table, Need::default(), &both);
    let mut first = ask().unwrap();
    let mut second = ask().unwrap();
    let fault = ask().unwrap_err();
    assert_eq!(
        (fault.limit, fault.status.as_u16()),
        (Some("provider"), 429)
    );
    assert_eq!(
        second.provider_pass(&a).unwrap_err().limit,
        Some("provider"),
        "the first pass holds its slot"
    );
    let lane = second.provider_pass(&b).unwrap();
    assert_eq!((lane.provider(), table.held().slots), (&b, 2));
    drop(lane);
    let lane = first.provider_pass(&a).unwrap();
    let hedge = first.provider_pass(&b).unwrap();
    assert_eq!(table.held().slots, 2, "one slot for each attempt");
    drop(lane);
    first.keep(hedge);
    assert_eq!(table.held().slots, 1);
    assert_eq!(
        ask_for(&table, Need::default(), &both)
            .unwrap()
            .provider_pass(&a)
            .unwrap()
            .provider(),
        &a
    );
    drop(first);
    assert_eq!(table.held(), HeldTotals::default());
    assert!(
        ask_for(&table, Need::default(), &[b, "free".into()]).is_ok()
            && ask_for(&table, Need::default(), &["free".into()]).is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_pays_nothing_but_the_request() {
    let settings = Settings {
        providers: [
            ("a".into(), limit(10, 1000, 0)),
            ("b".into(), limit(10, 1000, 0)),
        ]
        .into(),
        ..Settings::default()
    };
    let table = table(settings);
    let mut pass = ask_for(
        &table,
        Need {
            input: 100,
            output: 100,
        },
        &["a".into(), "b".into()],
    )
    .unwrap();
    let mut lane = pass.provider_pass(&"a".into()).unwrap();
    lane.mark_asked();
    drop(lane);
    let lane = pass.provider_pass(&"b".into()).unwrap();
    pass.keep(lane);
    pass.settle(Charge::Tokens(150));
    let left = |name: &str| {
        let limit_states = ask_for(&table, Need::default(), &[name.into()])
            .unwrap()
            .limit_states;
        (
            limit_states.requests.unwrap().remaining,
            limit_states.tokens.unwrap().remaining,
        )
    };
    assert_eq!((left("a"), left("b")), ((8, 1000), (8, 850)));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_fills_and_applies_new_figures_at_once() {
    let limits = Arc::default();
    let before = Arc::new(LimitTable::new(&limits, settings("key", limit(0, 1000, 2))));
    let mut running = opened(ask(&before, 100, 700).unwrap());
    let after = Arc::new(LimitTable::new(&limits, settings("key", limit(0, 2000, 2))));
    assert_eq!(
        ask(&after, 0, 0)
            .unwrap()
            .limit_states
            .tokens
            .unwrap()
            .remaining,
        1200,
        "taken tokens stay taken"
    );
    let second = ask(&after, 0, 0).unwrap();
    assert_eq!(
        ask(&after, 0, 0).unwrap_err().limit,
        Some("key"),
        "a stream that began before the reload counts"
    );
    running.settle(Charge::Tokens(500));
    drop((running, second));
    assert_eq!(
        (remaining(&after), after.held()),
        (1500, HeldTotals::default())
    );
    let smaller = Arc::new(LimitTable::new(&limits, settings("key", limit(0, 100, 0))));
    assert!(
        ask(&smaller, 1, 0).is_err(),
        "400 are missing in an account that holds 100"
    );
    let none = Arc::new(LimitTable::new(&limits, Settings::default()));
    assert!((0..100).all(|_| ask(&none, 1_000_000, 0).is_ok()));
}

#[tokio::test(start_paused = true)]
async fn users_of_different_callers_are_different_users() {
    let table = table(settings("user", limit(1, 0, 0)));
    let (it, one, other) = (
        ByteString::from_static("it"),
        CallerId::Key("one".into()),
        CallerId::Key("other".into()),
    );
    let ask = |caller: &CallerId, user: Option<&str>| {
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let subject = Subject {
            client,
            caller,
            key: None,
            team: None,
            user,
            model: &it,
            own: None,
        };
        table
            .admit(&subject, [&it].into_iter(), Need::default())
            .map(opened)
            .is_ok()
    };
    assert!(ask(&one, Some("ann")) && !ask(&one, Some("ann")) && ask(&one, Some("bob")));
    assert!(ask(&other, Some("ann")), "the `ann` of another caller");
    assert!(
        (0..10).all(|_| ask(&one, None)),
        "without a user there is no user limit"
    );
    let bring = |own: Limit| {
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let subject = Subject {
            client,
            caller: &one,
            key: None,
            team: None,
            user: Some("carl"),
            model: &it,
            own: Some(own),
        };
        table
            .admit(&subject, [&it].into_iter(), Need::default())
            .map(opened)
            .map_err(|refused| refused.fault.limit)
    };
    assert!(bring(limit(9, 0, 0)).is_ok());
    assert_eq!(
        bring(limit(9, 0, 0)).unwrap_err(),
        Some("user"),
        "a token cannot raise a configured limit"
    );
}

#[tokio::test(start_paused = true)]
async fn reads_are_limited_to_ten_times_the_requests() {
    let (it, caller) = (ByteString::from_static("it"), CallerId::Key("it".into()));
    let reads = |requests: u32| {
        let table = table(settings("key", limit(requests, 100, 1)));
        (0..2000)
            .filter(|_| table.read(&caller, Some(&it), None).is_ok())
            .count()
    };
    assert_eq!((reads(1), reads(100), reads(0)), (600, 1000, 2000));
    let table = table(settings("key", limit(1, 0, 0)));
    while table.read(&caller, Some(&it), None).is_ok() {}
    let fault = table.read(&caller, Some(&it), None).unwrap_err();
    assert_eq!(
        (fault.limit, fault.status.as_u16(), fault.retry_after),
        (Some("key"), 429, Some(Duration::from_millis(100)))
    );
    assert!(
        table
            .read(&CallerId::Key("other".into()), Some(&it), None)
            .is_ok(),
        "each caller has its own reads"
    );
    assert!(ask(&table, 0, 0).is_ok(), "reads do not count as requests");
}

#[derive(Debug, Clone)]
enum Step {
    Begin { input: u64, output: u64 },
    Stream { which: usize, bytes: u64 },
    Release { which: usize },
    Settle { which: usize, tokens: u64 },
    Drop { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..8usize;
    let step = prop_oneof![
        3 => (0..500u64, 0..2000u64).prop_map(|(input, output)| Step::Begin { input, output }),
        4 => (which.clone(), 0..40_000u64).prop_map(|(which, bytes)| Step::Stream { which, bytes }),
        1 => which.clone().prop_map(|which| Step::Release { which }),
        2 => (which.clone(), 0..20_000u64).prop_map(|(which, tokens)| Step::Settle { which, tokens }),
        2 => which.prop_map(|which| Step::Drop { which }),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// On a paused clock, the amount missing in every account at the end equals the usage of all
    /// generations.
    #[test]
    fn every_generation_is_settled_exactly_once(steps in steps(), cut in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build().unwrap();
        let _inside = runtime.enter();
        const HOLDS: u32 = 1_000_000;
        let mut all = Settings { cut, ..Settings::default() };
        NAMES.iter().for_each(|scope| set(&mut all, scope, limit(1000, HOLDS, 1000)));
        let table = table(all);
        let mut running: Vec<(Pass, u64, u64, bool)> = Vec::new();
        let (mut used, mut requests) = (0, 0);
        for step in steps {
            let index = |which: usize, running: &Vec<_>| (!running.is_empty()).then(|| which % running.len());
            match step {
                Step::Begin { input, output } => {
                    if let Ok(pass) = ask(&table, input, output) {
                        running.push((opened(pass), input, 0, false));
                        requests += 1;
                    }
                }
                Step::Stream { which, bytes } => if let Some(at) = index(which, &running) {
                    let (pass, _, streamed, _) = &mut running[at];
                    *streamed = bytes.max(*streamed);
                    let _ = pass.record_output(*streamed);
                },
                Step::Release { which } => if let Some(at) = index(which, &running) {
                    running[at].0.release();
                    running[at].3 = true;
                },
                Step::Settle { which, tokens } => if let Some(at) = index(which, &running) {
                    let (mut pass, ..) = running.swap_remove(at);
                    pass.settle(Charge::Tokens(tokens));
                    used += tokens;
                },
                Step::Drop { which } => if let Some(at) = index(which, &running) {
                    let (_, input, streamed, _) = running.swap_remove(at);
                    used += input + streamed.div_ceil(4);
                },
            }
            let slots = running.iter().filter(|(.., released)| !released).count();
            prop_assert_eq!(table.held().slots, slots * NAMES.len());
        }
        for (mut pass, ..) in running.drain(..) {
            pass.settle(Charge::Tokens(7));
            used += 7;
        }
        prop_assert_eq!(table.held(), HeldTotals::default());
        let all = ask_for(&table, Need::default(), &["it".into()]);
        if used < u64::from(HOLDS) {
            let limit_states = all.unwrap().limit_states;
            prop_assert_eq!(u64::from(limit_states.tokens.unwrap().remaining), u64::from(HOLDS) - used);
            prop_assert_eq!(limit_states.requests.unwrap().remaining, 999 - requests);
        } else {
            let wait = Duration::from_nanos(u64::try_from((u128::from(used - u64::from(HOLDS)) * 60_000_000_000).div_ceil(u128::from(HOLDS))).unwrap());
            prop_assert_eq!(all.map_or_else(|fault| fault.retry_after.unwrap(), |_| Duration::ZERO), wait);
        }
    }
}
