//! The cost of streams, the accounts that pay, and refusals when nothing is left: prices, budgets,
//! the ledger.

mod cut;
mod killed;
mod metered;
mod users;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::ledger::report::{self, Format, ReportQuery};
use sluicegate::ledger::{Files, Payer};
use sluicegate::model::ids::StreamId;
use sluicegate::model::money::Money;

use crate::rig::upstream::Step;
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Request, Setup, Upstream, VirtualClock, WireId,
    dialects, encode, name, nth_dialect, pairs, wires, within,
};

const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";
/// Price per million tokens: input 1, output 2. An [`Answer`] uses 11 and 7 tokens: 25 millionths.
const PRICE: &str = "input = 1.0\noutput = 2";
const COST: &str = "0.000025";
const SOON: Duration = Duration::from_secs(20);

/// A data folder that is removed after its test.
pub struct LedgerFolder(pub PathBuf);

impl LedgerFolder {
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("sluicegate-spending-{}", StreamId::random())))
    }

    pub fn rows(&self) -> Vec<Value> {
        read_rows(&self.0)
    }

    /// Waits until no proxy uses the folder: its last tasks end shortly after it has stopped.
    async fn free(&self) {
        let waiting = async {
            while Files::open(&self.0).is_err() {
                tokio::task::yield_now().await;
            }
        };
        within("the folder to be free", waiting).await;
    }
}

impl Drop for LedgerFolder {
    fn drop(&mut self) {
        // A folder that is left in the system's temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read_rows(folder: &Path) -> Vec<Value> {
    let mut out = Vec::new();
    let damaged = report::write(
        folder,
        &ReportQuery {
            format: Format::Json,
            ..ReportQuery::default()
        },
        &mut out,
    )
    .unwrap();
    assert_eq!(damaged, 0);
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn priced(setup: Setup, folder: &LedgerFolder) -> Setup {
    setup
        .section("prices.\"up/m-up\"", PRICE)
        .top(&format!("data_dir = {:?}", folder.0))
}

/// Adds two keys: Ann, of team red, and Bob.
fn keys(setup: Setup, ann: &str, bob: &str) -> Setup {
    setup
        .section("auth", "mode = \"required\"")
        .section(
            "keys.ann",
            &format!("secret = \"{ANN}\"\nteam = \"red\"\nmodels = [\"*\"]\n{ann}"),
        )
        .section(
            "keys.bob",
            &format!("secret = \"{BOB}\"\nmodels = [\"*\"]\n{bob}"),
        )
}

pub fn money(value: &Value) -> Money {
    value
        .to_string()
        .parse()
        .unwrap_or_else(|_| panic!("{value} is not an amount"))
}

/// Returns the number and the sum of the rows, which must equal the proxy's own total.
fn checked_sum(proxy: &Proxy, folder: &LedgerFolder) -> (usize, Money) {
    proxy.running.ledger().flush(SOON);
    let rows = folder.rows();
    let sum = rows
        .iter()
        .filter(|row| !row["cost"].is_null())
        .fold(Money::ZERO, |sum, row| sum.plus(money(&row["cost"])));
    assert_eq!(
        sum,
        proxy.running.ledger().spent(&Payer::Global).1,
        "the sum of the rows equals the spending"
    );
    (rows.len(), sum)
}

/// Returns status, head and body of an answer, read to its end.
async fn ask_whole(client: &Client, request: &Request) -> (u16, crate::rig::Reply, Value) {
    let mut reply = client.ask(request).await;
    let body = if reply.status == 200 {
        json!(reply.text().await)
    } else {
        reply.json().await
    };
    (reply.status, reply, body)
}

#[tokio::test]
async fn a_cost_is_reported_wherever_the_dialect_has_a_place_for_it() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for stream in [true, false] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, stream: {stream}"));
            let folder = LedgerFolder::new();
            let upstream = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
            let proxy = priced(Setup::new().over(wire, &upstream), &folder)
                .start()
                .await;
            let (status, reply, body) =
                ask_whole(&proxy.client, &Request::chat(dialect, "m", stream)).await;
            assert_eq!(status, 200, "{body}");
            let id = reply.stream_id();
            proxy.at_rest().await;
            let status = proxy.client.status(&id).await;
            assert_eq!(
                (status["cost"].to_string().as_str(), &status["estimated"]),
                (COST, &json!(false)),
                "{status}"
            );
            let text = body.as_str().unwrap();
            match (dialect, stream) {
                (Dialect::Events, true) => assert_eq!(
                    text.matches(&format!("\"cost\":{COST}")).count(),
                    2,
                    "`usage`, and `end`: {text}"
                ),
                (Dialect::Ui, _) | (Dialect::Events, false) => assert_eq!(
                    text.matches(&format!("\"cost\":{COST}")).count(),
                    1,
                    "{text}"
                ),
                _ => assert!(
                    !text.contains("\"cost\""),
                    "vendor dialects get no cost member: {text}"
                ),
            }
            let (count, sum) = checked_sum(&proxy, &folder);
            assert_eq!((count, sum.to_string().as_str()), (1, COST));
            let row = &folder.rows()[0];
            let figures = ["input_tokens", "output_tokens", "attempts"]
                .map(|name| row[name].as_u64().unwrap());
            assert_eq!(
                (figures, &row["status"], &row["id"]),
                ([11, 7, 1], &json!("completed"), &json!(id)),
                "{row}"
            );
            assert_eq!(
                (&row["provider"], &row["target"], &row["dialect"]),
                (&json!("up"), &json!("m-up"), &json!(dialect.name())),
                "{row}"
            );
        }
    }
}

#[tokio::test]
async fn b32_a_disconnect_is_not_free() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let folder = LedgerFolder::new();
        let upstream = Upstream::start(Answer::tokens(9).script(wire, Pace::Gate)).await;
        let proxy = priced(Setup::new().over(wire, &upstream), &folder)
            .start()
            .await;
        upstream.open(4);
        let mut reply = proxy
            .client
            .ask(
                &Request::chat(dialect, "m", true)
                    .cancel_on_disconnect()
                    .named(&name(1)),
            )
            .await;
        reply
            .until(|received| received.text().contains("tok2"))
            .await;
        drop(reply);
        upstream.closed(0).await;
        clock.advance(Duration::from_secs(60)).await;
        proxy.at_rest().await;
        let status = proxy.client.status(&name(1)).await;
        let (input, output) = (
            status["usage"]["input_tokens"].as_u64().unwrap(),
            status["usage"]["output_tokens"].as_u64().unwrap(),
        );
        assert!(
            input > 0 && output >= 4,
            "the prompt and the streamed text: {status}"
        );
        let (count, sum) = checked_sum(&proxy, &folder);
        assert_eq!(
            (count, sum, &status["estimated"]),
            (
                1,
                Money::from_nanos((input + 2 * output) * 1000),
                &json!(true)
            ),
            "{status}"
        );
        assert_eq!(
            (money(&status["cost"]), &folder.rows()[0]["status"]),
            (sum, &json!("cancelled"))
        );
    }
}

#[tokio::test]
async fn a_spent_budget_refuses_before_the_upstream_is_called() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Flat)).await;
        let setup = Setup::new()
            .over(wire, &upstream)
            .section("prices.\"up/*\"", "request = 0.4");
        let setup = keys(
            setup,
            "budget = { day = 1.0 }\nlimits = { requests_per_minute = 3 }",
            "",
        );
        let proxy = setup.start().await;
        let (ann, bob) = (proxy.client.with_key(ANN), proxy.client.with_key(BOB));
        let request = Request::chat(dialect, "m", true)
            .header("origin", &format!("http://{}", proxy.running.addr()));
        let (status, reply, _) = ask_whole(&ann, &request).await;
        assert_eq!((status, reply.header("x-budget-warning")), (200, None));
        let (status, reply, _) = ask_whole(&ann, &request).await;
        assert_eq!(
            (status, reply.header("x-budget-warning")),
            (200, Some("key;period=day;used=80"))
        );
        proxy.at_rest().await;
        for _ in 0..5 {
            let (status, reply, body) = ask_whole(&ann, &request).await;
            let refusal = (status, &body["error"]["code"], &body["error"]["limit"]);
            assert_eq!(
                refusal,
                (429, &json!("budget_exceeded"), &json!("key")),
                "refused requests do not count against requests per minute: {body}"
            );
            let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=86_400).contains(&after), "{after} s to midnight");
            assert_eq!(reply.header("x-should-retry"), Some("false"));
        }
        assert_eq!(
            upstream.count(),
            2,
            "no refused request reaches the upstream"
        );
        let (status, reply, _) = ask_whole(&bob, &request).await;
        assert_eq!(
            (status, reply.header("x-budget-warning")),
            (200, None),
            "other keys have budgets of their own"
        );
    }
}

#[tokio::test]
async fn b34_fifty_requests_at_once_with_a_budget_for_ten() {
    let _clock = VirtualClock::start();
    for dialect in dialects() {
        let _case = Case::new(format!("{dialect:?}"));
        let wire = WireId::OpenaiChat;
        let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Gate)).await;
        let setup = keys(
            Setup::new().over(wire, &upstream),
            "budget = { month = 1.0 }",
            "",
        );
        let proxy = setup
            .section("prices.\"up/m-up\"", "request = 0.1")
            .start()
            .await;
        let ann = proxy.client.with_key(ANN);
        let request = Request::chat(dialect, "m", true);
        let sent: Vec<_> =
            futures_util::future::join_all((0..50).map(|_| ann.send(&request))).await;
        upstream.requests(10).await;
        upstream.open(1000);
        let replies = futures_util::future::join_all(
            sent.into_iter().map(crate::rig::client::Connection::head),
        )
        .await;
        let (admitted, refused): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!(
            (admitted.len(), refused.len(), upstream.count()),
            (10, 40, 10)
        );
        for mut reply in refused {
            let body = reply.json().await;
            assert_eq!(
                (
                    reply.status,
                    &body["error"]["code"],
                    &body["error"]["limit"]
                ),
                (429, &json!("budget_exceeded"), &json!("key"))
            );
            assert_eq!(
                reply.header("retry-after"),
                Some("1"),
                "reserved money may be released at any moment"
            );
        }
        for mut reply in admitted {
            assert!(reply.received().await.is_success());
        }
        proxy.at_rest().await;
        assert_eq!(
            proxy
                .running
                .ledger()
                .spent(&Payer::Key("ann".into()))
                .1
                .to_string(),
            "1"
        );
    }
}

#[tokio::test]
async fn team_and_global_budgets_are_shared_and_a_refusal_takes_nothing() {
    let _clock = VirtualClock::start();
    let wire = WireId::OpenaiChat;
    let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Flat)).await;
    let setup = keys(
        Setup::new().over(wire, &upstream),
        "budget = { day = 9 }",
        "limits = { requests_per_minute = 1 }",
    );
    let setup = setup.section("prices.\"up/m-up\"", "request = 1").section(
        "budgets",
        "global = { month = 4 }\nteams = { red = { day = 2 } }\nwarn_at = 1.0",
    );
    let proxy = setup.start().await;
    let (ann, bob) = (proxy.client.with_key(ANN), proxy.client.with_key(BOB));
    let request = Request::chat(Dialect::Chat, "m", false);
    for expected in [None, Some("team;period=day;used=100")] {
        let (status, reply, _) = ask_whole(&ann, &request).await;
        assert_eq!((status, reply.header("x-budget-warning")), (200, expected));
    }
    for _ in 0..3 {
        let (status, _, body) = ask_whole(&ann, &request).await;
        assert_eq!(
            (status, &body["error"]["limit"]),
            (429, &json!("team")),
            "{body}"
        );
    }
    assert_eq!(ask_whole(&bob, &request).await.0, 200);
    for _ in 0..3 {
        let (status, _, body) = ask_whole(&bob, &request).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (429, &json!("rate_limited")),
            "{body}"
        );
    }
    proxy.at_rest().await;
    let spent = |payer| proxy.running.ledger().spent(&payer).0.to_string();
    assert_eq!(
        [
            spent(Payer::Global),
            spent(Payer::Team("red".into())),
            spent(Payer::Key("bob".into()))
        ],
        ["3", "2", "1"]
    );
}

#[tokio::test]
async fn a_restart_keeps_what_was_spent() {
    let _clock = VirtualClock::start();
    let (folder, wire) = (LedgerFolder::new(), WireId::OpenaiChat);
    let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Flat)).await;
    let setup = || {
        let setup = keys(
            Setup::new().over(wire, &upstream),
            "budget = { month = 2.0 }",
            "",
        );
        setup
            .section("prices.\"up/m-up\"", "request = 0.9")
            .top(&format!("data_dir = {:?}", folder.0))
    };
    let request = Request::chat(Dialect::Chat, "m", true);
    for expected in [200, 200, 429, 429] {
        let proxy = setup().start().await;
        assert_eq!(
            ask_whole(&proxy.client.with_key(ANN), &request).await.0,
            expected
        );
        let in_use = sluicegate::app::start(setup().config())
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(in_use.contains("another sluicegate uses"), "{in_use}");
        proxy.running.drain().await;
        folder.free().await;
    }
    assert_eq!((upstream.count(), folder.rows().len()), (2, 2));
    let proxy = setup().section("budgets", "warn_at = 0.5").start().await;
    assert_eq!(
        ask_whole(&proxy.client.with_key(BOB), &request).await.0,
        200,
        "other keys are not affected"
    );
    proxy.at_rest().await;
    assert_eq!(checked_sum(&proxy, &folder).1.to_string(), "2.7");
}

#[tokio::test]
async fn without_prices_nothing_is_charged_and_the_cost_is_unknown() {
    let _clock = VirtualClock::start();
    let (folder, wire) = (LedgerFolder::new(), WireId::Anthropic);
    let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Flat)).await;
    let setup = keys(
        Setup::new().over(wire, &upstream),
        "budget = { day = 0.000000001 }",
        "",
    )
    .top(&format!("data_dir = {:?}", folder.0));
    let proxy = setup.start().await;
    for _ in 0..3 {
        let (status, reply, text) = ask_whole(
            &proxy.client.with_key(ANN),
            &Request::chat(Dialect::Events, "m", true),
        )
        .await;
        assert_eq!(
            (
                status,
                text.as_str().unwrap().matches("\"cost\":null").count()
            ),
            (200, 2),
            "{text}"
        );
        let status = proxy.client.with_key(ANN).status(&reply.stream_id()).await;
        assert!(
            status["cost"].is_null() && status["usage"]["input_tokens"] == 11,
            "{status}"
        );
    }
    proxy.at_rest().await;
    assert_eq!(
        (checked_sum(&proxy, &folder), &folder.rows()[0]["cost"]),
        ((3, Money::ZERO), &Value::Null)
    );
}

#[tokio::test]
async fn b31_every_stream_has_one_row_and_nothing_stays_reserved() {
    let clock = VirtualClock::start();
    let folder = LedgerFolder::new();
    let wire = WireId::OpenaiChat;
    let script = move |_: &crate::rig::upstream::Call, n: usize| match n % 5 {
        0 => Answer::tokens(3).steps(wire, Pace::Flat),
        1 => [
            Answer::tokens(9).steps_until(wire, Pace::Flat, 2),
            vec![Step::Yield, Step::Reset],
        ]
        .concat(),
        2 => crate::rig::upstream::json(500, encode::refusal(wire, 500, "not now").to_string()),
        3 => [
            Answer::tokens(9).steps_until(wire, Pace::Flat, 1),
            vec![Step::Hang],
        ]
        .concat(),
        _ => vec![Step::Hang],
    };
    let upstream = Upstream::start(script).await;
    let setup =
        priced(Setup::new().over(wire, &upstream), &folder).section("models.m", "retries = 0");
    let proxy = setup
        .section(
            "providers.up",
            "timeouts = { idle = \"30s\", headers = \"40s\" }",
        )
        .start()
        .await;
    let mut begun = 0;
    for round in 0..60 {
        let request = Request::chat(nth_dialect(round), "m", !round.is_multiple_of(3))
            .cancel_on_disconnect()
            .named(&name(round));
        let sent = proxy.client.send(&request).await;
        begun += 1;
        upstream.requests(begun).await;
        match round % 4 {
            0 => drop(sent),
            1 => drop(proxy.client.cancel(&name(round)).await),
            _ => drop(tokio::spawn(async move { sent.head().await.text().await })),
        }
    }
    clock.advance(Duration::from_secs(120)).await;
    proxy.at_rest().await;
    assert_eq!(proxy.running.current_load().reserved_money, Money::ZERO);
    let (rows, sum) = checked_sum(&proxy, &folder);
    assert_eq!(rows, begun);
    assert!(sum > Money::ZERO);
    let rows = folder.rows();
    let of = |status: &str| rows.iter().filter(|row| row["status"] == status).count();
    assert!(
        of("completed") > 0 && of("cancelled") > 0 && of("failed") > 0 && of("running") == 0,
        "{rows:?}"
    );
}

#[tokio::test]
async fn refused_and_joined_requests_have_no_row() {
    let _clock = VirtualClock::start();
    let (folder, wire) = (LedgerFolder::new(), WireId::OpenaiChat);
    let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Flat)).await;
    let proxy = priced(Setup::new().over(wire, &upstream), &folder)
        .start()
        .await;
    let request = Request::chat(Dialect::Chat, "m", true).named(&name(1));
    for request in [
        &request,
        &request,
        &Request::chat(Dialect::Chat, "nope", true),
        &Request::chat(Dialect::Chat, "m", true).without("messages"),
    ] {
        ask_whole(&proxy.client, request).await;
    }
    proxy.at_rest().await;
    assert_eq!(checked_sum(&proxy, &folder).0, 1);
}

/// Runs `sluicegate usage` on a folder. Returns success, stdout and stderr.
async fn usage(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command
        .arg("usage")
        .arg("--data-dir")
        .arg(folder)
        .args(arguments);
    let output = within("the report", command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_ledger_can_be_reported_while_the_server_runs() {
    let folder = LedgerFolder::new();
    let upstream = Upstream::start(Answer::tokens(2).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = priced(
        keys(Setup::new().over(WireId::OpenaiChat, &upstream), "", ""),
        &folder,
    )
    .start()
    .await;
    for key in [ANN, ANN, BOB] {
        assert_eq!(
            ask_whole(
                &proxy.client.with_key(key),
                &Request::chat(Dialect::Chat, "m", false)
            )
            .await
            .0,
            200
        );
    }
    proxy.at_rest().await;
    proxy.running.ledger().flush(SOON);
    let (good, csv, _) = usage(&folder.0, &["--by", "key"]).await;
    let names = "streams,input_tokens,cached_input_tokens,cache_write_tokens,output_tokens,reasoning_tokens,cost,estimated,unpriced";
    assert_eq!(
        (good, csv),
        (
            true,
            format!(
                "key,{names}\r\nann,2,22,0,0,14,0,0.00005,0,0\r\nbob,1,11,0,0,7,0,0.000025,0,0\r\n"
            )
        )
    );
    let (_, lines, _) = usage(&folder.0, &["--by", "team", "--format", "json"]).await;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["team"], &lines[1]["team"], &lines[1]["streams"]),
        (&Value::Null, &json!("red"), &json!(2))
    );
    let (_, all, _) = usage(&folder.0, &[]).await;
    assert_eq!(all.split_terminator("\r\n").count(), 4);
    let (_, none, _) = usage(&folder.0, &["--to", "2020-01-01"]).await;
    assert_eq!(none.split_terminator("\r\n").count(), 1);
    for wrong in [
        ["--from", "yesterday"],
        ["--by", "prompt"],
        ["--format", "xml"],
    ] {
        assert!(!usage(&folder.0, &wrong).await.0, "{wrong:?}");
    }
    let (good, _, error) = usage(Path::new("/nowhere"), &[]).await;
    assert!(!good && error.contains("/nowhere"), "{error}");
}

#[tokio::test]
async fn each_kind_of_token_has_its_own_price_on_every_wire() {
    let _clock = VirtualClock::start();
    for wire in wires() {
        let _case = Case::new(format!("{wire:?}"));
        let folder = LedgerFolder::new();
        let upstream = Upstream::always(metered::steps(wire)).await;
        let prices = "input = 1\ncached_input = 0.1\ncache_write = 2\noutput = 3\nreasoning = 5";
        let setup = Setup::new()
            .over(wire, &upstream)
            .section("prices.\"up/m-up\"", prices)
            .top(&format!("data_dir = {:?}", folder.0));
        let proxy = setup.start().await;
        let (status, reply, text) =
            ask_whole(&proxy.client, &Request::chat(Dialect::Events, "m", true)).await;
        assert_eq!(status, 200, "{text}");
        proxy.at_rest().await;
        let status = proxy.client.status(&reply.stream_id()).await;
        let [input, cached, written, output, reasoning] = metered::tokens(wire);
        let named = [
            "input_tokens",
            "cached_input_tokens",
            "cache_write_tokens",
            "output_tokens",
            "reasoning_tokens",
        ];
        assert_eq!(
            named.map(|name| status["usage"][name].as_u64().unwrap_or(0)),
            [input, cached, written, output, reasoning],
            "{status}"
        );
        let tenths = (input - cached - written) * 10
            + cached
            + written * 20
            + (output - reasoning) * 30
            + reasoning * 50;
        assert_eq!(
            money(&status["cost"]),
            Money::from_nanos(tenths * 100),
            "{status}"
        );
        assert_eq!(
            checked_sum(&proxy, &folder),
            (1, Money::from_nanos(tenths * 100))
        );
        let row = &folder.rows()[0];
        assert_eq!(
            named.map(|name| row[name].as_u64().unwrap_or(0)),
            [input, cached, written, output, reasoning],
            "{row}"
        );
    }
}
