//! Streams that outgrow a budget: they are cut if so configured; otherwise their debt counts
//! against other requests.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::ledger::Payer;
use sluicegate::model::money::Money;

use super::{ANN, BOB, LedgerFolder, PRICE, SOON, checked_sum, keys, money};
use crate::rig::upstream::{Step, json as json_of};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Received, Reply, Request, Setup, Upstream,
    VirtualClock, WireId, encode, pairs, settle,
};

/// A monthly budget for 1000 output tokens.
const BUDGET: &str = "{ month = 0.002 }";
/// Output reserved for a request: 100 tokens.
const LIMITS: &str = "reserve_output = 100";
/// The same reservation; streams are cut.
const CUT: &str = "reserve_output = 100\non_exceeded = \"cut\"";
/// Length of a piece: 50 tokens.
const PIECE: usize = 200;

/// An answer of 2000 tokens in 40 pieces.
fn long() -> Answer {
    Answer {
        tokens: vec!["0123456789".repeat(PIECE / 10); 40],
        usage: (11, 2000),
        ..Answer::tokens(0)
    }
}

/// Opens the gate for `pieces` pieces, one at a time, so that each is a separate read.
async fn open_gate(upstream: &Upstream, pieces: usize) {
    for _ in 0..pieces {
        upstream.open(1);
        settle().await;
    }
}

/// A proxy with Ann's model `m` over `upstream` and model `n` over `other`, both with a price.
async fn start(
    wire: WireId,
    upstream: &Upstream,
    other: &Upstream,
    folder: &LedgerFolder,
    limits: &str,
    scope: &str,
) -> Proxy {
    let setup = Setup::new()
        .over(wire, upstream)
        .provider("other", wire, other.addr)
        .model("n", "[\"other/m-up\"]");
    let key_budget = if scope == "key" {
        format!("budget = {BUDGET}")
    } else {
        String::new()
    };
    let setup = keys(setup, &key_budget, "")
        .section("limits", limits)
        .top(&format!("data_dir = {:?}", folder.0));
    let setup = match scope {
        "key" => setup,
        "team" => setup.section("budgets", &format!("teams = {{ red = {BUDGET} }}")),
        other => setup.section("budgets", &format!("{other} = {BUDGET}")),
    };
    setup
        .section("prices.\"up/*\"", PRICE)
        .section("prices.\"other/*\"", PRICE)
        .start()
        .await
}

/// Adds an end user, in the dialect's own field.
fn with_user(dialect: Dialect, request: Request) -> Request {
    match dialect {
        Dialect::Messages => request.set("metadata", json!({"user_id": "eve"})),
        Dialect::Responses => request.set("safety_identifier", json!("eve")),
        Dialect::Chat | Dialect::Events | Dialect::Ui => request.set("user", json!("eve")),
    }
}

/// Reads a stream. Returns its answer, and true if its error names that limit.
async fn received_with_limit(dialect: Dialect, reply: &mut Reply, scope: &str) -> (Received, bool) {
    let (events, _) = reply.events().await;
    let member = format!("\"limit\":\"{scope}\"");
    let limit = events.iter().any(|event| event.data.contains(&member));
    (Received::from_events(dialect, &events), limit)
}

/// Returns the only row of that key, and its usage at these prices.
fn read_row(proxy: &Proxy, folder: &LedgerFolder, key: &str) -> (Value, Money) {
    proxy.running.ledger().flush(SOON);
    let row = folder
        .rows()
        .into_iter()
        .find(|row| row["key"] == key)
        .unwrap();
    let [input, output] = ["input_tokens", "output_tokens"].map(|name| row[name].as_u64().unwrap());
    (row, Money::from_nanos((input + 2 * output) * 1000))
}

async fn refused(client: &Client, request: &Request, scope: &str) -> String {
    let mut reply = client.ask(request).await;
    let body = reply.json().await;
    let refusal = (
        reply.status,
        &body["error"]["code"],
        &body["error"]["limit"],
    );
    assert_eq!(
        refusal,
        (429, &json!("budget_exceeded"), &json!(scope)),
        "{body}"
    );
    reply.header("retry-after").unwrap().to_owned()
}

/// Asserts that a row is of a stream that was cut after so many tokens.
fn assert_cut(row: &Value, tokens: u64, costs: Money) {
    assert_eq!(
        [&row["status"], &row["reason"], &row["code"]],
        ["failed", "error", "budget_exceeded"],
        "{row}"
    );
    assert_eq!(
        (
            row["output_tokens"].as_u64(),
            &row["estimated"],
            money(&row["cost"])
        ),
        (Some(tokens), &json!(true), costs),
        "{row}"
    );
}

#[tokio::test]
async fn a_stream_is_cut_with_its_dialects_error_when_a_budget_is_spent() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for scope in ["key", "team", "user", "global"] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {scope}"));
            let mut steps = long().steps_until(wire, Pace::Gate, usize::MAX);
            steps.push(Step::Hang);
            let (upstream, other) = (
                Upstream::always(steps).await,
                Upstream::start(Answer::tokens(3).script(wire, Pace::Gate)).await,
            );
            let folder = LedgerFolder::new();
            let proxy = start(wire, &upstream, &other, &folder, CUT, scope).await;
            let (ann, bob) = (proxy.client.with_key(ANN), proxy.client.with_key(BOB));
            let request = with_user(dialect, Request::chat(dialect, "m", true));
            let (running, concurrent) = (
                ann.send(&request).await,
                bob.send(&Request::chat(dialect, "n", true)).await,
            );
            upstream.requests(1).await;
            other.requests(1).await;
            other.open(1);
            open_gate(&upstream, 40).await;
            let mut reply = running.head().await;
            assert_eq!(reply.status, 200);
            let (received, named) = received_with_limit(dialect, &mut reply, scope).await;
            assert!(
                received.is_failure() && received.code() == "budget_exceeded" && named,
                "{received:?}"
            );
            assert!(
                received
                    .error
                    .as_ref()
                    .unwrap()
                    .1
                    .contains(&format!("the {scope} budget for this month")),
                "{received:?}"
            );
            let tokens = received.text().len() as u64 / 4;
            assert!((900..1100).contains(&tokens), "cut after {tokens} tokens");
            upstream.closed(0).await;
            let status = ann.until_status(&reply.stream_id(), "failed").await;
            assert_eq!(
                (&status["upstream"], &status["error"]["code"]),
                (&json!("closed"), &json!("budget_exceeded")),
                "{status}"
            );
            let (row, costs) = read_row(&proxy, &folder, "ann");
            assert_cut(&row, tokens, costs);
            assert_eq!(
                (
                    money(&status["cost"]),
                    proxy.running.ledger().spent(&Payer::Key("ann".into())).1
                ),
                (costs, costs)
            );
            let after: u64 = refused(&ann, &request, scope).await.parse().unwrap();
            assert!(after <= 31 * 86_400, "{after} s to the next month");
            other.open(9);
            assert!(
                concurrent.head().await.received().await.is_success(),
                "another caller's stream continues with its own reservation"
            );
            proxy.at_rest().await;
            assert_eq!(checked_sum(&proxy, &folder).0, 2);
        }
    }
}

#[tokio::test]
async fn a_stream_that_may_finish_overruns_its_budget_and_its_debt_is_reserved() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let (upstream, other) = (
            Upstream::start(long().script(wire, Pace::Gate)).await,
            Upstream::silent().await,
        );
        let folder = LedgerFolder::new();
        let proxy = start(wire, &upstream, &other, &folder, LIMITS, "key").await;
        let (ann, request) = (
            proxy.client.with_key(ANN),
            Request::chat(dialect, "m", true),
        );
        let running = ann.send(&request).await;
        upstream.requests(1).await;
        let reserved = proxy.running.current_load().reserved_money;
        open_gate(&upstream, 36).await;
        assert!(
            proxy.running.current_load().reserved_money > reserved,
            "the cost so far is reserved"
        );
        assert_eq!(
            refused(&ann, &request, "key").await,
            "1",
            "other requests see it while the stream runs"
        );
        open_gate(&upstream, 5).await;
        let received = running.head().await.received().await;
        assert!(
            received.is_success() && received.text().len() == 40 * PIECE,
            "{received:?}"
        );
        proxy.at_rest().await;
        let (row, costs) = read_row(&proxy, &folder, "ann");
        assert_eq!(
            (&row["status"], money(&row["cost"]), costs),
            (
                &json!("completed"),
                costs,
                Money::from_nanos((11 + 2 * 2000) * 1000)
            )
        );
        assert_eq!(
            proxy.running.ledger().spent(&Payer::Key("ann".into())).1,
            costs
        );
        assert_ne!(
            refused(&ann, &request, "key").await,
            "1",
            "now the budget is spent"
        );
    }
}

#[tokio::test]
async fn a_target_without_a_price_is_never_cut() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(long().script(wire, Pace::Flat)).await;
        let folder = LedgerFolder::new();
        let setup = keys(
            Setup::new().over(wire, &upstream),
            "budget = { month = 0.000000001 }",
            "",
        )
        .section("limits", CUT);
        let proxy = setup
            .section("prices.\"up/another\"", PRICE)
            .top(&format!("data_dir = {:?}", folder.0))
            .start()
            .await;
        let received = proxy
            .client
            .with_key(ANN)
            .ask(&Request::chat(dialect, "m", true))
            .await
            .received()
            .await;
        assert!(
            received.is_success() && received.text().len() == 40 * PIECE,
            "{received:?}"
        );
        proxy.at_rest().await;
        assert_eq!(
            (checked_sum(&proxy, &folder), &folder.rows()[0]["cost"]),
            ((1, Money::ZERO), &Value::Null)
        );
    }
}

#[tokio::test]
async fn a_non_streaming_request_over_budget_gets_a_429_unless_the_provider_answered_whole() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(long().script(wire, Pace::Gate)).await;
        let folder = LedgerFolder::new();
        let proxy = start(wire, &upstream, &upstream, &folder, CUT, "key").await;
        let (ann, request) = (
            proxy.client.with_key(ANN),
            Request::chat(dialect, "m", false),
        );
        let waiting = ann.send(&request).await;
        upstream.requests(1).await;
        open_gate(&upstream, 41).await;
        let (mut reply, cut) = (waiting.head().await, upstream.call(0).wants_stream());
        if cut {
            let body = reply.json().await;
            let refusal = (
                reply.status,
                &body["error"]["code"],
                &body["error"]["limit"],
            );
            assert_eq!(
                refusal,
                (429, &json!("budget_exceeded"), &json!("key")),
                "{body}"
            );
            assert_eq!(reply.header("x-should-retry"), Some("false"));
        } else {
            assert_eq!(reply.status, 200);
            reply.whole().await;
        }
        proxy.at_rest().await;
        let (row, costs) = read_row(&proxy, &folder, "ann");
        assert_eq!(
            (row["code"] == "budget_exceeded", money(&row["cost"])),
            (cut, costs),
            "{row}"
        );
    }
}

#[tokio::test]
async fn streams_of_one_budget_share_it_and_end_with_it() {
    let _clock = VirtualClock::start();
    for wire in [WireId::OpenaiChat, WireId::Anthropic, WireId::Gemini] {
        let _case = Case::new(format!("{wire:?}"));
        let mut steps = long().steps_until(wire, Pace::Gate, usize::MAX);
        steps.push(Step::Hang);
        let upstream = Upstream::always(steps).await;
        let folder = LedgerFolder::new();
        let proxy = start(wire, &upstream, &upstream, &folder, CUT, "team").await;
        let ann = proxy.client.with_key(ANN);
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(ann.send(&Request::chat(Dialect::Events, "m", true)).await);
        }
        upstream.requests(3).await;
        open_gate(&upstream, 120).await;
        for running in running {
            let received = running.head().await.received().await;
            assert!(
                received.is_failure() && received.code() == "budget_exceeded",
                "{received:?}"
            );
        }
        proxy.at_rest().await;
        let (count, sum) = checked_sum(&proxy, &folder);
        let (budget, late) = (
            Money::from_nanos(2_000_000),
            Money::from_nanos(3 * 114 * 2 * 1000),
        );
        assert!(
            count == 3 && sum > budget && sum < budget.plus(late),
            "each stream overruns by at most a step and a piece: {sum}"
        );
        assert_eq!(
            proxy.running.ledger().spent(&Payer::Team("red".into())).1,
            sum
        );
    }
}

#[tokio::test]
async fn a_fallback_is_charged_and_cut_by_its_own_price() {
    let clock = VirtualClock::start();
    for wire in [WireId::OpenaiChat, WireId::Anthropic] {
        let _case = Case::new(format!("{wire:?}"));
        let failing = Upstream::always(json_of(
            500,
            encode::refusal(wire, 500, "not now").to_string(),
        ))
        .await;
        let mut steps = long().steps_until(wire, Pace::Gate, usize::MAX);
        steps.push(Step::Hang);
        let spare = Upstream::always(steps).await;
        let folder = LedgerFolder::new();
        let setup = keys(
            Setup::new().over_two(wire, &failing, &spare),
            &format!("budget = {BUDGET}"),
            "",
        );
        let setup = setup
            .section("limits", CUT)
            .section("prices.\"up/*\"", "request = 0.001")
            .section("prices.\"spare/*\"", PRICE);
        let proxy = setup
            .top(&format!("data_dir = {:?}", folder.0))
            .start()
            .await;
        let running = proxy
            .client
            .with_key(ANN)
            .send(&Request::chat(Dialect::Events, "m", true))
            .await;
        clock
            .takes_at_most(Duration::from_secs(30), "the fallback", spare.requests(1))
            .await;
        open_gate(&spare, 40).await;
        let received = running.head().await.received().await;
        assert_eq!(received.code(), "budget_exceeded", "{received:?}");
        assert!(
            (900..1100).contains(&(received.text().len() / 4)),
            "the failed attempt is not included"
        );
        proxy.at_rest().await;
        let (row, costs) = read_row(&proxy, &folder, "ann");
        assert_eq!(
            (
                money(&row["cost"]),
                &row["provider"],
                checked_sum(&proxy, &folder)
            ),
            (costs, &json!("spare"), (1, costs)),
            "{row}"
        );
    }
}

#[tokio::test]
async fn a_stream_keeps_the_on_exceeded_setting_of_its_start() {
    let _clock = VirtualClock::start();
    let wire = WireId::OpenaiChat;
    let upstream = Upstream::start(long().script(wire, Pace::Gate)).await;
    let setup = |limits: &str| {
        let setup = keys(
            Setup::new().over(wire, &upstream),
            &format!("budget = {BUDGET}"),
            &format!("budget = {BUDGET}"),
        );
        setup
            .section("limits", limits)
            .section("prices.\"up/*\"", PRICE)
    };
    let proxy = setup(LIMITS).start().await;
    let request = Request::chat(Dialect::Chat, "m", true);
    let before = proxy.client.with_key(ANN).send(&request).await;
    upstream.requests(1).await;
    proxy.running.reload(setup(CUT).config()).unwrap();
    open_gate(&upstream, 41).await;
    assert!(before.head().await.received().await.is_success());
    let after = proxy.client.with_key(BOB).send(&request).await;
    upstream.requests(2).await;
    open_gate(&upstream, 41).await;
    assert_eq!(
        after.head().await.received().await.code(),
        "budget_exceeded"
    );
}
