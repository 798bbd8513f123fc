//! Random mixes of all outcomes of a stream: completed, abandoned, cancelled, timed out, failed,
//! fallen back, raced, cut by a budget, panicked. Afterwards nothing is held anywhere and every
//! stream is settled once.
//!
//! `SLUICEGATE_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;
use sluicegate::ledger::Payer;
use sluicegate::model::money::Money;
use tokio::task::JoinSet;
use tracing::subscriber::{DefaultGuard, set_default};

use crate::corpus::recording::{Rng, seed};
use crate::rig::upstream::{Call, Step, json as whole, refusing_address};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Request, Setup, Upstream, VirtualClock, WireId,
    dialects, encode, wires, within,
};
use crate::spending::{LedgerFolder, money};

/// Number of streams per mix.
const STREAMS: usize = 150;
/// Number of mixes, each over two random wires.
const MIXES: u64 = 6;
/// Names and secrets of the callers; the second may run few streams at a time, the third has a
/// small budget.
const KEYS: [(&str, &str); 3] = [
    ("ann", "ann-0123456789abcdef"),
    ("bob", "bob-0123456789abcdef"),
    ("cyd", "cyd-0123456789abcdef"),
];
/// Budget of the third caller: a few long answers.
const BUDGET: &str = "budget = { month = 0.01 }";
/// Longer than the longest of all timeouts with retries.
const LONG: Duration = Duration::from_secs(120);
const LIMIT: &str =
    "{ requests_per_minute = 100000, tokens_per_minute = 100000000, concurrent_streams = 1000 }";
/// Model name of a target whose failure makes the log panic.
const POISON: &str = "poison";

/// Actions of an upstream, one letter each; most succeed, because otherwise its breaker would
/// decide every outcome.
const UPSTREAM_ACTIONS: &str = "fffffflllsssrtuehwb";

fn upstream_steps(wire: WireId, action: &str) -> Vec<Step> {
    let short = Answer::tokens(6);
    let long = Answer {
        tokens: vec!["words ".repeat(100); 12],
        usage: (11, 1800),
        ..Answer::tokens(0)
    };
    let partly = |count, end| {
        [
            short.steps_until(wire, Pace::Every(Duration::from_millis(50)), count),
            vec![end],
        ]
        .concat()
    };
    let refused = |status: u16| whole(status, encode::refusal(wire, status, "not now").to_string());
    match action {
        "l" => long.steps(wire, Pace::Every(Duration::from_millis(100))),
        "s" => short.steps(wire, Pace::Every(Duration::from_millis(400))),
        "r" => partly(3, Step::Reset),
        "t" => partly(2, Step::Truncate),
        "u" => refused(503),
        "e" => [
            partly(0, Step::Write(encode::for_wire(wire).error("overloaded"))),
            vec![Step::End],
        ]
        .concat(),
        "h" => vec![Step::Hang],
        "w" => partly(4, Step::Hang),
        "b" => refused(400),
        _ => short.steps(wire, Pace::Flat),
    }
}

/// The behaviour of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientAction {
    Reads,
    ReadsWhole,
    LeavesBeforeHead,
    LeavesAfter(usize),
    LeavesRunning,
    Cancels,
    Resumes,
}

const CLIENT_ACTIONS: [ClientAction; 9] = [
    ClientAction::Reads,
    ClientAction::Reads,
    ClientAction::Reads,
    ClientAction::ReadsWhole,
    ClientAction::LeavesBeforeHead,
    ClientAction::LeavesAfter(2),
    ClientAction::LeavesRunning,
    ClientAction::Cancels,
    ClientAction::Resumes,
];

/// The plan of one client.
#[derive(Debug, Clone, Copy)]
struct ClientPlan {
    number: usize,
    dialect: Dialect,
    model: &'static str,
    /// The actions of `up` and `spare`.
    upstream_actions: [char; 2],
    action: ClientAction,
}

impl ClientPlan {
    fn random(number: usize, rng: &mut Rng) -> Self {
        let dialects = dialects();
        let models = ["m", "m", "m", "raced", "raced", "poisoned"];
        Self {
            number,
            dialect: dialects[rng.offset(dialects.len())],
            model: models[rng.offset(models.len())],
            upstream_actions: [0; 2].map(|_| {
                char::from(UPSTREAM_ACTIONS.as_bytes()[rng.offset(UPSTREAM_ACTIONS.len())])
            }),
            action: CLIENT_ACTIONS[rng.offset(CLIENT_ACTIONS.len())],
        }
    }

    fn request(&self) -> Request {
        let [up, spare] = self.upstream_actions;
        let request = Request::chat(
            self.dialect,
            self.model,
            self.action != ClientAction::ReadsWhole,
        );
        let request = request
            .with_text(&format!("steps:{up}:{spare}:{}:", self.number))
            .named(&format!("stream-of-the-mix-{:06}", self.number));
        match self.action {
            ClientAction::LeavesRunning => request.header("x-on-disconnect", "continue"),
            ClientAction::Resumes => request.header("x-on-disconnect", "grace 2s").with_ids(),
            _ => request.cancel_on_disconnect(),
        }
    }

    /// Executes the plan, whatever the proxy answers.
    async fn run(self, client: Client) {
        let (request, id) = (
            self.request(),
            format!("stream-of-the-mix-{:06}", self.number),
        );
        let connection = client.send(&request).await;
        if self.action == ClientAction::LeavesBeforeHead {
            return connection.abort();
        }
        let mut reply = connection.head().await;
        let events = match self.action {
            ClientAction::LeavesAfter(events) => events,
            ClientAction::LeavesRunning | ClientAction::Cancels | ClientAction::Resumes => 1,
            ClientAction::Reads | ClientAction::ReadsWhole | ClientAction::LeavesBeforeHead => {
                usize::MAX
            }
        };
        if reply.status != 200 || events == usize::MAX {
            reply.whole().await;
            return;
        }
        let mut last = None;
        for _ in 0..events {
            let Some(event) = reply.event().await else {
                return;
            };
            last = event.id.or(last);
        }
        match self.action {
            ClientAction::Cancels => {
                let stopped = client.cancel(&id).await;
                assert!(
                    [200, 202].contains(&stopped.status),
                    "{self:?}: {}",
                    stopped.status
                );
                reply.whole().await;
            }
            ClientAction::Resumes => {
                drop(reply);
                let mut back = client.resume(self.dialect, &id, last.as_deref()).await;
                back.whole().await;
            }
            _ => drop(reply),
        }
    }
}

/// A script that reads its action from the user's message.
fn script(
    wire: WireId,
    place: usize,
) -> impl Fn(&Call, usize) -> Vec<Step> + Send + Sync + 'static {
    move |call, _| {
        let body = String::from_utf8_lossy(&call.body).into_owned();
        let action = body
            .split("steps:")
            .nth(1)
            .unwrap()
            .split(':')
            .nth(place)
            .unwrap()
            .to_owned();
        match (call.wants_stream(), action.as_str()) {
            (true, action) => upstream_steps(wire, action),
            (false, "h" | "w") => vec![Step::Hang],
            (false, "u") => upstream_steps(wire, "u"),
            (false, "b") => upstream_steps(wire, "b"),
            (false, _) => Answer::tokens(6).script(wire, Pace::Flat)(call, 0),
        }
    }
}

/// A log that panics when one target's failure is logged.
#[derive(Debug, Clone, Copy)]
struct PanickingLog;

impl PanickingLog {
    fn listen() -> DefaultGuard {
        set_default(
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(|| Self)
                .finish(),
        )
    }
}

impl Write for PanickingLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // After a panic the subscriber writes the buffered earlier lines again: look at the last
        // line only.
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end().lines().next_back().unwrap_or_default();
        assert!(
            !(text.contains("attempt failed") && text.contains(POISON)),
            "a log that cannot be written to"
        );
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn start(wires: [WireId; 2], ups: &[Upstream; 2], folder: &LedgerFolder) -> Proxy {
    let away = refusing_address().await;
    let mut setup = Setup::new()
        .top(&format!("data_dir = {:?}", folder.0))
        .provider("up", wires[0], ups[0].addr)
        .provider("spare", wires[1], ups[1].addr)
        .provider("away", WireId::OpenaiChat, away)
        .model("m", "[\"up/m-up\", \"spare/m-spare\"]")
        .model("raced", "[\"up/m-raced\", \"spare/m-raced\"]")
        .section("models.raced", "hedge_after = \"300ms\"")
        .model("poisoned", &format!("[\"away/{POISON}\", \"up/m-up\"]"))
        .section("models.poisoned", "retries = 0")
        .section("prices.\"up/*\"", "input = 1\noutput = 2")
        .section("prices.\"spare/*\"", "input = 3\noutput = 5")
        .section("auth", "mode = \"required\"")
        .section("limits", &format!("on_exceeded = \"cut\"\nreserve_output = 50\nglobal = {LIMIT}\nip = {LIMIT}\nuser = {LIMIT}\nmodels.m = {LIMIT}\nteams.red = {LIMIT}"));
    for name in ["up", "spare"] {
        let lines = format!(
            "timeouts = {{ headers = \"3s\", first_token = \"5s\", idle = \"4s\", total = \"30s\" }}\nlimits = {LIMIT}"
        );
        setup = setup.section(&format!("providers.{name}"), &lines);
    }
    let few = "{ concurrent_streams = 8 }";
    for ((name, secret), (limits, budget)) in
        KEYS.into_iter()
            .zip([(LIMIT, ""), (few, ""), (LIMIT, BUDGET)])
    {
        let lines = format!("secret = \"{secret}\"\nteam = \"red\"\nlimits = {limits}\n{budget}");
        setup = setup.section(&format!("keys.{name}"), &lines);
    }
    setup.start().await
}

/// Returns all streams of a caller from the list endpoint, by id.
async fn list_streams(client: &Client) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut path = "/v1/streams?limit=100".to_owned();
    loop {
        let page = client.get(&path).await.json().await;
        let streams = page["data"].as_array().unwrap();
        all.extend(
            streams
                .iter()
                .map(|it| (it["id"].as_str().unwrap().to_owned(), it.clone())),
        );
        if page["has_more"] != true {
            return all;
        }
        path = format!(
            "/v1/streams?limit=100&after={}",
            streams.last().unwrap()["id"].as_str().unwrap()
        );
    }
}

/// Waits until every call was answered in full or closed by the proxy.
async fn wait_until_closed(upstream: &Upstream) {
    let all = async {
        while (0..upstream.count())
            .map(|n| upstream.call(n))
            .any(|call| !call.ended && call.closed.is_none())
        {
            tokio::task::yield_now().await;
        }
    };
    within("every call to end", all).await;
}

#[tokio::test]
async fn after_any_mix_of_outcomes_nothing_is_held_and_everything_is_settled_once() {
    let seed = seed();
    let clock = VirtualClock::start();
    let _poisoned = PanickingLog::listen();
    let mut outcomes = BTreeSet::new();
    for mix in 0..MIXES {
        let mut rng = Rng::new(seed.wrapping_add(mix));
        let pair = [0; 2].map(|_| wires()[rng.offset(wires().len())]);
        let _case = Case::new(format!("SLUICEGATE_SEED={seed}, mix {mix}, over {pair:?}"));
        let (ups, folder) = (
            [
                Upstream::start(script(pair[0], 0)).await,
                Upstream::start(script(pair[1], 1)).await,
            ],
            LedgerFolder::new(),
        );
        let proxy = start(pair, &ups, &folder).await;
        let clients = KEYS.map(|(_, secret)| proxy.client.with_key(secret));
        let mut clients_running = JoinSet::new();
        for number in 0..STREAMS {
            clients_running.spawn(
                ClientPlan::random(number, &mut rng).run(clients[rng.offset(KEYS.len())].clone()),
            );
            if rng.below(8) == 0 {
                clock.advance(Duration::from_millis(rng.below(300))).await;
            }
        }
        let over = async {
            while let Some(client) = clients_running.join_next().await {
                client.unwrap();
            }
        };
        clock.takes_at_most(LONG, "every client to end", over).await;
        clock.advance(LONG).await;
        proxy.at_rest().await;
        for upstream in &ups {
            wait_until_closed(upstream).await;
        }
        settled(&proxy, &folder, &clients, &mut outcomes).await;
    }
    assert_eq!(
        outcomes.into_iter().collect::<Vec<_>>(),
        ["answered", "cancelled", "cut", "failed", "lost", "skipped"]
    );
}

/// Checks the ledger: one row per stream, equal to the stream's status, and the sum of the rows
/// equals the spending of each account.
async fn settled(
    proxy: &Proxy,
    folder: &LedgerFolder,
    clients: &[Client; 3],
    outcomes: &mut BTreeSet<String>,
) {
    let now = proxy.running.current_load();
    assert_eq!(
        (
            now.running,
            now.readers,
            now.permits,
            now.reserved,
            now.reserved_money
        ),
        (0, 0, 0, 0, Money::ZERO)
    );
    proxy.running.ledger().flush(Duration::from_secs(20));
    let rows = folder.rows();
    let mut spent = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for ((key, _), client) in KEYS.iter().zip(clients) {
        let mine: Vec<&Value> = rows.iter().filter(|row| row["key"] == *key).collect();
        let streams = list_streams(client).await;
        assert_eq!(mine.len(), streams.len(), "one row per stream");
        for row in mine {
            let status = &streams[row["id"].as_str().unwrap()];
            assert_eq!(row["status"], status["status"], "{row} {status}");
            kinds.insert(if row["code"] == "internal_error" {
                "panicked"
            } else {
                row["status"].as_str().unwrap()
            });
            outcomes.extend(
                status["route"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|step| step["outcome"].as_str().unwrap().to_owned()),
            );
            // The usage of a stream that ended by a panic is unknown: it is charged the reserved
            // amount.
            if row["code"] != "internal_error" {
                assert_same_usage(row, status);
            }
            if row["code"] == "budget_exceeded" {
                outcomes.insert("cut".to_owned());
            }
            let cost = if row["cost"].is_null() {
                Money::ZERO
            } else {
                money(&row["cost"])
            };
            let sum = spent.entry(*key).or_insert(Money::ZERO);
            *sum = sum.plus(cost);
        }
        assert_eq!(
            spent[key],
            proxy.running.ledger().spent(&Payer::Key((*key).into())).1,
            "the spending of {key}"
        );
    }
    let all = spent.values().fold(Money::ZERO, |sum, one| sum.plus(*one));
    assert_eq!(
        all,
        proxy.running.ledger().spent(&Payer::Team("red".into())).1
    );
    assert_eq!(all, proxy.running.ledger().spent(&Payer::Global).1);
    assert!(
        !all.is_zero() && rows.len() > STREAMS / 3,
        "{} rows, {all:?}",
        rows.len()
    );
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["cancelled", "completed", "failed", "panicked"]
    );
}

/// Asserts that a row reports the same usage and cost as the stream's status.
fn assert_same_usage(row: &Value, status: &Value) {
    for field in ["cost", "estimated"] {
        assert!(
            row[field] == status[field] || status["usage"].is_null() && status[field].is_null(),
            "{field}: {row} {status}"
        );
    }
    for field in ["input_tokens", "output_tokens"] {
        assert_eq!(
            row[field], status["usage"][field],
            "{field}: {row} {status}"
        );
    }
}
