//! Streams that outgrow a budget: they are cut where that is wanted, and others see it wherever
//! they are not.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::ledger::Payer;
use sluicegate::model::money::Money;

use super::{ANN, BOB, Folder, PRICE, SOON, keys, money, sum_of};
use crate::rig::upstream::{Step, json as json_of};
use crate::rig::{
    Ask, Client, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Told, Upstream, Virtual, WireId,
    pairs, say, settle,
};

/// A month's budget: 1000 tokens of output.
const BUDGET: &str = "{ month = 0.002 }";
/// What a reservation holds of output: 100 tokens.
const LIMITS: &str = "reserve_output = 100";
/// The same, and streams are cut.
const CUT: &str = "reserve_output = 100\non_exceeded = \"cut\"";
/// 50 tokens.
const PIECE: usize = 200;

/// 2000 tokens in 40 pieces.
fn long() -> Say {
    Say {
        tokens: vec!["0123456789".repeat(PIECE / 10); 40],
        usage: (11, 2000),
        ..Say::tokens(0)
    }
}

/// Opens the gate for so many pieces, one after the other, so that each is a read of its own.
async fn let_through(upstream: &Upstream, pieces: usize) {
    for _ in 0..pieces {
        upstream.open(1);
        settle().await;
    }
}

/// Model `m` of ann over `upstream`, and model `n` over `other`; both have a price.
async fn start(
    wire: WireId,
    upstream: &Upstream,
    other: &Upstream,
    folder: &Folder,
    limits: &str,
    scope: &str,
) -> Proxy {
    let setup = Setup::new()
        .over(wire, upstream)
        .provider("other", wire, other.addr)
        .model("n", "[\"other/m-up\"]");
    let of_key = if scope == "key" {
        format!("budget = {BUDGET}")
    } else {
        String::new()
    };
    let setup = keys(setup, &of_key, "")
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

/// Of that end user, as its dialect names one.
fn by(speech: Speech, ask: Ask) -> Ask {
    match speech {
        Speech::Messages => ask.set("metadata", json!({"user_id": "eve"})),
        Speech::Responses => ask.set("safety_identifier", json!("eve")),
        Speech::Chat | Speech::Events | Speech::Ui => ask.set("user", json!("eve")),
    }
}

/// What a stream said, and whether its error names that limit.
async fn told(speech: Speech, reply: &mut Reply, scope: &str) -> (Told, bool) {
    let (events, _) = reply.events().await;
    let member = format!("\"limit\":\"{scope}\"");
    let limit = events.iter().any(|event| event.data.contains(&member));
    (Told::of(speech, &events), limit)
}

/// The only row of that key, and what it says that was used at these prices.
fn row_of(proxy: &Proxy, folder: &Folder, key: &str) -> (Value, Money) {
    proxy.running.ledger().flush(SOON);
    let row = folder
        .rows()
        .into_iter()
        .find(|row| row["key"] == key)
        .unwrap();
    let [input, output] = ["input_tokens", "output_tokens"].map(|name| row[name].as_u64().unwrap());
    (row, Money::nanos((input + 2 * output) * 1000))
}

async fn refused(client: &Client, ask: &Ask, scope: &str) -> String {
    let mut reply = client.ask(ask).await;
    let body = reply.json().await;
    let said = (
        reply.status,
        &body["error"]["code"],
        &body["error"]["limit"],
    );
    assert_eq!(
        said,
        (429, &json!("budget_exceeded"), &json!(scope)),
        "{body}"
    );
    reply.header("retry-after").unwrap().to_owned()
}

/// The row of a stream that was cut after so many tokens.
fn says_it_was_cut(row: &Value, tokens: u64, costs: Money) {
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
async fn a_stream_is_cut_in_its_dialects_own_words_when_a_budget_is_spent() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        for scope in ["key", "team", "user", "global"] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, {scope}"));
            let mut steps = long().steps_until(wire, Pace::Gate, usize::MAX);
            steps.push(Step::Hang);
            let (upstream, other) = (
                Upstream::always(steps).await,
                Upstream::start(Say::tokens(3).script(wire, Pace::Gate)).await,
            );
            let folder = Folder::new();
            let proxy = start(wire, &upstream, &other, &folder, CUT, scope).await;
            let (ann, bob) = (proxy.client.with_key(ANN), proxy.client.with_key(BOB));
            let ask = by(speech, Ask::chat(speech, "m", true));
            let (running, beside) = (
                ann.send(&ask).await,
                bob.send(&Ask::chat(speech, "n", true)).await,
            );
            upstream.requests(1).await;
            other.requests(1).await;
            other.open(1);
            let_through(&upstream, 40).await;
            let mut reply = running.head().await;
            assert_eq!(reply.status, 200);
            let (told, named) = told(speech, &mut reply, scope).await;
            assert!(
                told.is_failure() && told.code() == "budget_exceeded" && named,
                "{told:?}"
            );
            assert!(
                told.error
                    .as_ref()
                    .unwrap()
                    .1
                    .contains(&format!("the {scope} budget for this month ran out")),
                "{told:?}"
            );
            let tokens = told.text().len() as u64 / 4;
            assert!((900..1100).contains(&tokens), "cut after {tokens} tokens");
            upstream.closed(0).await;
            let status = ann.until_status(&reply.stream_id(), "failed").await;
            assert_eq!(
                (&status["upstream"], &status["error"]["code"]),
                (&json!("closed"), &json!("budget_exceeded")),
                "{status}"
            );
            let (row, costs) = row_of(&proxy, &folder, "ann");
            says_it_was_cut(&row, tokens, costs);
            assert_eq!(
                (
                    money(&status["cost"]),
                    proxy.running.ledger().spent(&Payer::Key("ann".into())).1
                ),
                (costs, costs)
            );
            let after: u64 = refused(&ann, &ask, scope).await.parse().unwrap();
            assert!(after <= 31 * 86_400, "{after} s to the next month");
            other.open(9);
            assert!(
                beside.head().await.told().await.is_success(),
                "another's stream runs on, with what is reserved for it"
            );
            proxy.at_rest().await;
            assert_eq!(sum_of(&proxy, &folder).0, 2);
        }
    }
}

#[tokio::test]
async fn a_stream_that_may_finish_overruns_its_budget_and_what_it_owes_is_reserved() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let (upstream, other) = (
            Upstream::start(long().script(wire, Pace::Gate)).await,
            Upstream::silent().await,
        );
        let folder = Folder::new();
        let proxy = start(wire, &upstream, &other, &folder, LIMITS, "key").await;
        let (ann, ask) = (proxy.client.with_key(ANN), Ask::chat(speech, "m", true));
        let running = ann.send(&ask).await;
        upstream.requests(1).await;
        let reserved = proxy.running.gauges().reserved_money;
        let_through(&upstream, 36).await;
        assert!(
            proxy.running.gauges().reserved_money > reserved,
            "what it has come to is reserved"
        );
        assert_eq!(
            refused(&ann, &ask, "key").await,
            "1",
            "and others see it while it runs"
        );
        let_through(&upstream, 5).await;
        let told = running.head().await.told().await;
        assert!(
            told.is_success() && told.text().len() == 40 * PIECE,
            "{told:?}"
        );
        proxy.at_rest().await;
        let (row, costs) = row_of(&proxy, &folder, "ann");
        assert_eq!(
            (&row["status"], money(&row["cost"]), costs),
            (
                &json!("completed"),
                costs,
                Money::nanos((11 + 2 * 2000) * 1000)
            )
        );
        assert_eq!(
            proxy.running.ledger().spent(&Payer::Key("ann".into())).1,
            costs
        );
        assert_ne!(refused(&ann, &ask, "key").await, "1", "now it is spent");
    }
}

#[tokio::test]
async fn a_target_without_a_price_is_never_cut() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::start(long().script(wire, Pace::Flat)).await;
        let folder = Folder::new();
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
        let told = proxy
            .client
            .with_key(ANN)
            .ask(&Ask::chat(speech, "m", true))
            .await
            .told()
            .await;
        assert!(
            told.is_success() && told.text().len() == 40 * PIECE,
            "{told:?}"
        );
        proxy.at_rest().await;
        assert_eq!(
            (sum_of(&proxy, &folder), &folder.rows()[0]["cost"]),
            ((1, Money::ZERO), &Value::Null)
        );
    }
}

#[tokio::test]
async fn who_waits_for_a_whole_answer_is_told_by_a_status_unless_the_provider_gave_it_whole() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::start(long().script(wire, Pace::Gate)).await;
        let folder = Folder::new();
        let proxy = start(wire, &upstream, &upstream, &folder, CUT, "key").await;
        let (ann, ask) = (proxy.client.with_key(ANN), Ask::chat(speech, "m", false));
        let waiting = ann.send(&ask).await;
        upstream.requests(1).await;
        let_through(&upstream, 41).await;
        let (mut reply, cut) = (waiting.head().await, upstream.call(0).wants_stream());
        if cut {
            let body = reply.json().await;
            let said = (
                reply.status,
                &body["error"]["code"],
                &body["error"]["limit"],
            );
            assert_eq!(
                said,
                (429, &json!("budget_exceeded"), &json!("key")),
                "{body}"
            );
            assert_eq!(reply.header("x-should-retry"), Some("false"));
        } else {
            assert_eq!(reply.status, 200);
            reply.whole().await;
        }
        proxy.at_rest().await;
        let (row, costs) = row_of(&proxy, &folder, "ann");
        assert_eq!(
            (row["code"] == "budget_exceeded", money(&row["cost"])),
            (cut, costs),
            "{row}"
        );
    }
}

#[tokio::test]
async fn streams_of_one_budget_see_each_other_and_end_where_it_does() {
    let _clock = Virtual::start();
    for wire in [WireId::OpenaiChat, WireId::Anthropic, WireId::Gemini] {
        let _scene = Scene::of(format!("{wire:?}"));
        let mut steps = long().steps_until(wire, Pace::Gate, usize::MAX);
        steps.push(Step::Hang);
        let upstream = Upstream::always(steps).await;
        let folder = Folder::new();
        let proxy = start(wire, &upstream, &upstream, &folder, CUT, "team").await;
        let ann = proxy.client.with_key(ANN);
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(ann.send(&Ask::chat(Speech::Events, "m", true)).await);
        }
        upstream.requests(3).await;
        let_through(&upstream, 120).await;
        for running in running {
            let told = running.head().await.told().await;
            assert!(
                told.is_failure() && told.code() == "budget_exceeded",
                "{told:?}"
            );
        }
        proxy.at_rest().await;
        let (count, sum) = sum_of(&proxy, &folder);
        let (budget, late) = (Money::nanos(2_000_000), Money::nanos(3 * 114 * 2 * 1000));
        assert!(
            count == 3 && sum > budget && sum < budget.plus(late),
            "each is at most a step and a piece late: {sum}"
        );
        assert_eq!(
            proxy.running.ledger().spent(&Payer::Team("red".into())).1,
            sum
        );
    }
}

#[tokio::test]
async fn a_fallback_is_charged_and_cut_by_its_own_price() {
    let clock = Virtual::start();
    for wire in [WireId::OpenaiChat, WireId::Anthropic] {
        let _scene = Scene::of(format!("{wire:?}"));
        let failing =
            Upstream::always(json_of(500, say::refusal(wire, 500, "not now").to_string())).await;
        let mut steps = long().steps_until(wire, Pace::Gate, usize::MAX);
        steps.push(Step::Hang);
        let spare = Upstream::always(steps).await;
        let folder = Folder::new();
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
            .send(&Ask::chat(Speech::Events, "m", true))
            .await;
        clock
            .takes_at_most(Duration::from_secs(30), "the fallback", spare.requests(1))
            .await;
        let_through(&spare, 40).await;
        let told = running.head().await.told().await;
        assert_eq!(told.code(), "budget_exceeded", "{told:?}");
        assert!(
            (900..1100).contains(&(told.text().len() / 4)),
            "what failed is not in it"
        );
        proxy.at_rest().await;
        let (row, costs) = row_of(&proxy, &folder, "ann");
        assert_eq!(
            (
                money(&row["cost"]),
                &row["provider"],
                sum_of(&proxy, &folder)
            ),
            (costs, &json!("spare"), (1, costs)),
            "{row}"
        );
    }
}

#[tokio::test]
async fn a_stream_keeps_the_switch_that_it_began_with() {
    let _clock = Virtual::start();
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
    let ask = Ask::chat(Speech::Chat, "m", true);
    let before = proxy.client.with_key(ANN).send(&ask).await;
    upstream.requests(1).await;
    proxy.running.reload(setup(CUT).config()).unwrap();
    let_through(&upstream, 41).await;
    assert!(before.head().await.told().await.is_success());
    let after = proxy.client.with_key(BOB).send(&ask).await;
    upstream.requests(2).await;
    let_through(&upstream, 41).await;
    assert_eq!(after.head().await.told().await.code(), "budget_exceeded");
}
