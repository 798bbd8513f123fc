//! Random mixes of all that can become of a stream: finished, left, stopped, timed out, failed,
//! fallen back, raced for, cut as a budget is spent, panicked. Afterwards nothing is held anywhere,
//! and everything was settled once.
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

use crate::corpus::recording::{Dice, seed};
use crate::rig::upstream::{Call, Step, json as whole, refusing};
use crate::rig::{
    Ask, Client, Pace, Proxy, Say, Scene, Setup, Speech, Upstream, Virtual, WireId, say, speeches,
    wires, within,
};
use crate::spending::{Folder, money};

/// Streams of a mix.
const STREAMS: usize = 150;
/// Mixes, each over two wires of its own.
const MIXES: u64 = 6;
/// The secrets of the callers; the second may run few streams at a time, the third soon has nothing
/// left to spend.
const KEYS: [(&str, &str); 3] = [
    ("ann", "ann-0123456789abcdef"),
    ("bob", "bob-0123456789abcdef"),
    ("cyd", "cyd-0123456789abcdef"),
];
/// What the third may spend: a few long answers.
const BUDGET: &str = "budget = { month = 0.01 }";
/// Longer than the longest of all clocks, with its retries.
const LONG: Duration = Duration::from_secs(120);
const LIMIT: &str =
    "{ requests_per_minute = 100000, tokens_per_minute = 100000000, concurrent_streams = 1000 }";
/// The model of a target at whose failure the log panics.
const POISON: &str = "poison";

/// What an upstream does with a request; more often well than not, or its breaker would have the
/// last word of it all.
const DEEDS: &str = "fffffflllsssrtuehwb";

fn deed(wire: WireId, deed: &str) -> Vec<Step> {
    let said = Say::tokens(6);
    let long = Say {
        tokens: vec!["words ".repeat(100); 12],
        usage: (11, 1800),
        ..Say::tokens(0)
    };
    let partly = |count, end| {
        [
            said.steps_until(wire, Pace::Every(Duration::from_millis(50)), count),
            vec![end],
        ]
        .concat()
    };
    let refused = |status: u16| whole(status, say::refusal(wire, status, "not now").to_string());
    match deed {
        "l" => long.steps(wire, Pace::Every(Duration::from_millis(100))),
        "s" => said.steps(wire, Pace::Every(Duration::from_millis(400))),
        "r" => partly(3, Step::Reset),
        "t" => partly(2, Step::Truncate),
        "u" => refused(503),
        "e" => [
            partly(0, Step::Write(say::of(wire).error("overloaded"))),
            vec![Step::End],
        ]
        .concat(),
        "h" => vec![Step::Hang],
        "w" => partly(4, Step::Hang),
        "b" => refused(400),
        _ => said.steps(wire, Pace::Flat),
    }
}

/// What a client does with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Reads,
    WantsItWhole,
    LeavesUnheard,
    LeavesAfter(usize),
    LetsItRun,
    Stops,
    ComesBack,
}

const DOINGS: [Doing; 9] = [
    Doing::Reads,
    Doing::Reads,
    Doing::Reads,
    Doing::WantsItWhole,
    Doing::LeavesUnheard,
    Doing::LeavesAfter(2),
    Doing::LetsItRun,
    Doing::Stops,
    Doing::ComesBack,
];

/// One client's plan.
#[derive(Debug, Clone, Copy)]
struct Fate {
    number: usize,
    speech: Speech,
    model: &'static str,
    /// What `up` and `spare` do.
    deeds: [char; 2],
    doing: Doing,
}

impl Fate {
    fn drawn(number: usize, dice: &mut Dice) -> Self {
        let speeches = speeches();
        let models = ["m", "m", "m", "raced", "raced", "poisoned"];
        Self {
            number,
            speech: speeches[dice.place(speeches.len())],
            model: models[dice.place(models.len())],
            deeds: [0; 2].map(|_| char::from(DEEDS.as_bytes()[dice.place(DEEDS.len())])),
            doing: DOINGS[dice.place(DOINGS.len())],
        }
    }

    fn ask(&self) -> Ask {
        let [up, spare] = self.deeds;
        let ask = Ask::chat(self.speech, self.model, self.doing != Doing::WantsItWhole);
        let ask = ask
            .saying(&format!("deeds:{up}:{spare}:{}:", self.number))
            .named(&format!("stream-of-the-mix-{:06}", self.number));
        match self.doing {
            Doing::LetsItRun => ask.header("x-on-disconnect", "continue"),
            Doing::ComesBack => ask.header("x-on-disconnect", "grace 2s").with_ids(),
            _ => ask.cancel_on_disconnect(),
        }
    }

    /// Does as planned, whatever is answered.
    async fn live(self, client: Client) {
        let (ask, id) = (self.ask(), format!("stream-of-the-mix-{:06}", self.number));
        let connection = client.send(&ask).await;
        if self.doing == Doing::LeavesUnheard {
            return connection.abort();
        }
        let mut reply = connection.head().await;
        let events = match self.doing {
            Doing::LeavesAfter(events) => events,
            Doing::LetsItRun | Doing::Stops | Doing::ComesBack => 1,
            Doing::Reads | Doing::WantsItWhole | Doing::LeavesUnheard => usize::MAX,
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
        match self.doing {
            Doing::Stops => {
                let stopped = client.cancel(&id).await;
                assert!(
                    [200, 202].contains(&stopped.status),
                    "{self:?}: {}",
                    stopped.status
                );
                reply.whole().await;
            }
            Doing::ComesBack => {
                drop(reply);
                let mut back = client.resume(self.speech, &id, last.as_deref()).await;
                back.whole().await;
            }
            _ => drop(reply),
        }
    }
}

/// What an upstream is to do, by the words of the user in the request.
fn script(
    wire: WireId,
    place: usize,
) -> impl Fn(&Call, usize) -> Vec<Step> + Send + Sync + 'static {
    move |call, _| {
        let body = String::from_utf8_lossy(&call.body).into_owned();
        let wish = body
            .split("deeds:")
            .nth(1)
            .unwrap()
            .split(':')
            .nth(place)
            .unwrap()
            .to_owned();
        match (call.wants_stream(), wish.as_str()) {
            (true, wish) => deed(wire, wish),
            (false, "h" | "w") => vec![Step::Hang],
            (false, "u") => deed(wire, "u"),
            (false, "b") => deed(wire, "b"),
            (false, _) => Say::tokens(6).script(wire, Pace::Flat)(call, 0),
        }
    }
}

/// A log that panics at the failure of one target.
#[derive(Debug, Clone, Copy)]
struct Poisoned;

impl Poisoned {
    fn listen() -> DefaultGuard {
        set_default(
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(|| Self)
                .finish(),
        )
    }
}

impl Write for Poisoned {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // After a panic the lines before it are written once more.
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

async fn mixed(wires: [WireId; 2], ups: &[Upstream; 2], folder: &Folder) -> Proxy {
    let away = refusing().await;
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

/// The ids and statuses of all streams of a caller, as it is told.
async fn listed(client: &Client) -> BTreeMap<String, Value> {
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

/// Every request was answered in full, or closed by us.
async fn closed(upstream: &Upstream) {
    let all = async {
        while (0..upstream.count())
            .map(|n| upstream.call(n))
            .any(|call| !call.ended && call.closed.is_none())
        {
            tokio::task::yield_now().await;
        }
    };
    within("every call to be over", all).await;
}

#[tokio::test]
async fn whatever_becomes_of_streams_nothing_is_held_and_all_is_settled_once() {
    let seed = seed();
    let clock = Virtual::start();
    let _poisoned = Poisoned::listen();
    let mut outcomes = BTreeSet::new();
    for mix in 0..MIXES {
        let mut dice = Dice::new(seed.wrapping_add(mix));
        let pair = [0; 2].map(|_| wires()[dice.place(wires().len())]);
        let _scene = Scene::of(format!("SLUICEGATE_SEED={seed}, mix {mix}, over {pair:?}"));
        let (ups, folder) = (
            [
                Upstream::start(script(pair[0], 0)).await,
                Upstream::start(script(pair[1], 1)).await,
            ],
            Folder::new(),
        );
        let proxy = mixed(pair, &ups, &folder).await;
        let clients = KEYS.map(|(_, secret)| proxy.client.with_key(secret));
        let mut lives = JoinSet::new();
        for number in 0..STREAMS {
            lives.spawn(
                Fate::drawn(number, &mut dice).live(clients[dice.place(KEYS.len())].clone()),
            );
            if dice.below(8) == 0 {
                clock.pass(Duration::from_millis(dice.below(300))).await;
            }
        }
        let over = async {
            while let Some(life) = lives.join_next().await {
                life.unwrap();
            }
        };
        clock.takes_at_most(LONG, "every client's end", over).await;
        clock.pass(LONG).await;
        proxy.at_rest().await;
        for upstream in &ups {
            closed(upstream).await;
        }
        settled(&proxy, &folder, &clients, &mut outcomes).await;
    }
    assert_eq!(
        outcomes.into_iter().collect::<Vec<_>>(),
        ["answered", "cancelled", "cut", "failed", "lost", "skipped"]
    );
}

/// The books: one row a stream, which says what the stream says, and whose sum is what each account
/// has spent.
async fn settled(
    proxy: &Proxy,
    folder: &Folder,
    clients: &[Client; 3],
    outcomes: &mut BTreeSet<String>,
) {
    let now = proxy.running.gauges();
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
        let streams = listed(client).await;
        assert_eq!(
            mine.len(),
            streams.len(),
            "one row for each stream that began"
        );
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
            // Of a stream that a panic has ended nobody can say what it used: it is charged what
            // was reserved.
            if row["code"] != "internal_error" {
                same(row, status);
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
            "what {key} has spent"
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

/// A row says of a stream what its status says.
fn same(row: &Value, status: &Value) {
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
