//! Metrics of the operator's listener: every stream counts once, money is exact to the billionth,
//! and no client text appears.

use serde_json::json;
use sluicegate::ledger::Payer;
use sluicegate::model::money::Money;

use crate::rig::upstream::Step;
use crate::rig::{
    Answer, Client, Dialect, Pace, Proxy, Request, Setup, Upstream, VirtualClock, WireId, encode,
    name,
};

const KEY: &str = "ann-0123456789abcdef";

/// The text of one scrape.
struct Scrape(String);

impl Scrape {
    async fn fetch(proxy: &Proxy) -> Self {
        let mut reply = Client::new(proxy.running.admin_addr().unwrap())
            .get("/metrics")
            .await;
        assert_eq!(reply.status, 200);
        Self(reply.text().await)
    }

    /// Returns the value of a series exactly as printed.
    fn value(&self, series: &str) -> Option<&str> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(&format!("sluicegate_{series} ")))
    }

    /// Returns the number of series of a metric.
    fn series(&self, metric: &str) -> usize {
        self.0
            .lines()
            .filter(|line| line.starts_with(&format!("sluicegate_{metric}{{")))
            .count()
    }

    /// Returns the sum over all series of a money metric.
    fn sum(&self, metric: &str) -> Money {
        let amounts = self
            .0
            .lines()
            .filter(|line| line.starts_with(&format!("sluicegate_{metric}{{")));
        amounts.fold(Money::ZERO, |sum, line| {
            sum.plus(line.rsplit(' ').next().unwrap().parse().unwrap())
        })
    }
}

/// Three streams that complete, one that is cancelled, one that breaks off, and two attempts that
/// fail.
async fn upstream(wire: WireId) -> Upstream {
    let script = move |_: &crate::rig::upstream::Call, n: usize| match n {
        3 => [
            Answer::tokens(9).steps_until(wire, Pace::Flat, 2),
            vec![Step::Hang],
        ]
        .concat(),
        4 => [
            Answer::tokens(9).steps_until(wire, Pace::Flat, 2),
            vec![Step::Yield, Step::Reset],
        ]
        .concat(),
        5 | 6 => crate::rig::upstream::json(500, encode::refusal(wire, 500, "not now").to_string()),
        _ => Answer::tokens(3).steps(wire, Pace::Flat),
    };
    Upstream::start(script).await
}

fn setup(wire: WireId, upstream: &Upstream) -> Setup {
    Setup::new()
        .over(wire, upstream)
        .forgiving()
        .section("providers.up", "direct = true")
        .section("prices.\"up/*\"", "input = 1.0\noutput = 2")
        .section("auth", "mode = \"required\"")
        .section("keys.ann", &format!("secret = \"{KEY}\"\nmodels = [\"*\"]"))
        .section("limits", "models.m = { requests_per_minute = 6 }")
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one scenario and all its assertions")]
async fn a_scrape_after_a_mix_of_streams_reports_every_outcome() {
    let clock = VirtualClock::start();
    let wire = WireId::OpenaiChat;
    let upstream = upstream(wire).await;
    let proxy = setup(wire, &upstream).start().await;
    let ann = proxy.client.with_key(KEY);
    let request = |dialect| Request::chat(dialect, "m", true).set("user", json!("user-of-ann"));
    for dialect in [Dialect::Chat, Dialect::Events, Dialect::Messages] {
        assert!(
            ann.ask(&Request::chat(dialect, "m", true))
                .await
                .received()
                .await
                .is_success()
        );
    }
    let mut running = ann.ask(&request(Dialect::Events).named(&name(3))).await;
    running
        .until(|received| received.text().contains("tok1"))
        .await;
    let scrape = Scrape::fetch(&proxy).await;
    assert_eq!(
        (
            scrape.value("running"),
            scrape.value("readers"),
            scrape.value("permits")
        ),
        (Some("1"), Some("1"), Some("1"))
    );
    assert!(
        scrape
            .value("reserved_cost")
            .unwrap()
            .parse::<f64>()
            .unwrap()
            > 0.0
    );
    ann.cancel(&name(3)).await;
    running.text().await;
    assert!(
        ann.ask(&request(Dialect::Chat))
            .await
            .received()
            .await
            .is_failure()
    );
    let failing = request(Dialect::Chat);
    let failed = clock
        .takes_at_most(
            std::time::Duration::from_secs(30),
            "two failures",
            ann.ask(&failing),
        )
        .await;
    assert!(failed.status >= 500, "{}", failed.status);
    for n in 0..3 {
        assert_eq!(ann.ask(&request(Dialect::Chat)).await.status, 429);
        assert_eq!(
            ann.ask(&Request::chat(Dialect::Chat, &format!("made-up-{n}"), true))
                .await
                .status,
            404
        );
    }
    assert_eq!(proxy.client.ask(&request(Dialect::Chat)).await.status, 401);
    proxy.at_rest().await;

    let scrape = Scrape::fetch(&proxy).await;
    let spent = proxy.running.ledger().spent(&Payer::Global).1;
    assert!(spent > Money::ZERO);
    assert_eq!(scrape.sum("cost_total"), spent, "{}", scrape.0);
    for (series, value) in [
        (
            r#"streams_total{model="m",provider="up",status="completed"}"#,
            "3",
        ),
        (
            r#"streams_total{model="m",provider="up",status="cancelled"}"#,
            "1",
        ),
        (
            r#"streams_total{model="m",provider="up",status="failed"}"#,
            "2",
        ),
        (r#"attempts_total{provider="up",outcome="answered"}"#, "5"),
        (r#"attempts_total{provider="up",outcome="failed"}"#, "2"),
        (r#"refused_total{code="rate_limited",limit="model"}"#, "3"),
        (r#"refused_total{code="model_not_found",limit=""}"#, "3"),
        (r#"refused_total{code="unauthenticated",limit=""}"#, "1"),
        (
            r#"first_content_seconds_count{model="m",provider="up"}"#,
            "5",
        ),
        (r#"duration_seconds_count{model="m",provider="up"}"#, "6"),
        ("running", "0"),
        ("readers", "0"),
        ("reserved_tokens", "0"),
    ] {
        assert_eq!(
            scrape.value(series),
            Some(value),
            "{series} in\n{}",
            scrape.0
        );
    }
    assert_eq!(
        (
            scrape.series("streams_total"),
            scrape.series("refused_total")
        ),
        (3, 3),
        "there are no other series"
    );
    for word in [KEY, "ann", "user-of-ann", "made-up", "127.0.0.1"] {
        assert!(!scrape.0.contains(word), "{word} in\n{}", scrape.0);
    }
}

#[tokio::test]
async fn client_input_creates_no_series() {
    let _clock = VirtualClock::start();
    let wire = WireId::OpenaiChat;
    let upstream = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
    let proxy = setup(wire, &upstream).start().await;
    let ann = proxy.client.with_key(KEY);
    for n in 0..20 {
        let request = Request::chat(Dialect::Chat, &format!("up/named-{n}"), n % 2 == 0)
            .set("user", json!(format!("named-{n}")));
        assert!(ann.ask(&request).await.text().await.contains("tok2"));
    }
    proxy.at_rest().await;
    let scrape = Scrape::fetch(&proxy).await;
    let direct = r#"{model="up/*",provider="up",status="completed"}"#;
    assert_eq!(
        (
            scrape.value(&format!("streams_total{direct}")),
            scrape.series("streams_total")
        ),
        (Some("20"), 1),
        "{}",
        scrape.0
    );
    assert_eq!(
        scrape.value(r#"tokens_total{model="up/*",provider="up",type="input"}"#),
        Some("220")
    );
    assert_eq!(
        scrape.value(r#"tokens_total{model="up/*",provider="up",type="output"}"#),
        Some("140")
    );
    assert_eq!(
        scrape.value(r#"cost_total{model="up/*",provider="up"}"#),
        Some("0.0005")
    );
    assert!(!scrape.0.contains("named-"), "{}", scrape.0);
}
