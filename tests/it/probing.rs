//! `check --probe`: its report of upstreams that answer, refuse, hang or cannot be reached.

use std::process::ExitCode;
use std::time::Duration;

use sluicegate::cli::probe::probe;

use crate::rig::upstream::{self, json, refusing_address};
use crate::rig::{Answer, Case, Pace, Setup, Upstream, VirtualClock, WireId, wires};

/// Runs the probe. Returns the exit code and, for each target, its name, result and reason.
async fn probed(setup: &Setup) -> (ExitCode, Vec<(String, String, String)>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = probe(&setup.config(), &mut out, &mut err).await.unwrap();
    let (out, err) = (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    );
    assert_eq!(err, "");
    let rows = out
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| {
            // Columns are separated by at least two spaces.
            let mut cells = line
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .map(str::to_owned);
            let [name, result, _took, why] =
                std::array::from_fn(|_| cells.next().unwrap_or_default());
            (name, result, why)
        });
    (code, rows.collect())
}

#[tokio::test]
async fn a_working_upstream_is_probed_with_one_request() {
    for wire in wires() {
        let _case = Case::new(format!("{wire:?}"));
        let upstream = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
        let (code, rows) = probed(&Setup::new().over(wire, &upstream)).await;
        assert_eq!(rows, [("up/m-up".into(), "ok".into(), String::new())]);
        assert_eq!((code, upstream.count()), (ExitCode::SUCCESS, 1));
        let call = upstream.call(0);
        assert!(
            call.wants_stream()
                && call
                    .headers
                    .iter()
                    .any(|(_, value)| value.contains("upstream-secret")),
            "{call:?}"
        );
    }
}

#[tokio::test]
async fn a_probe_asks_for_one_token() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    probed(&Setup::new().over(WireId::OpenaiChat, &upstream)).await;
    let body = upstream.call(0).json();
    assert_eq!(
        (
            &body["max_tokens"],
            &body["model"],
            &body["messages"][0]["role"]
        ),
        (&1.into(), &"m-up".into(), &"user".into())
    );
}

#[tokio::test]
async fn each_failed_probe_reports_its_reason() {
    let clock = VirtualClock::start();
    let refusal = |status, code: &str| {
        Upstream::always(json(
            status,
            format!(
                r#"{{"error":{{"message":"sk-proj-abcdefghijklmnop1234567890 cannot","type":"t","code":"{code}"}}}}"#
            ),
        ))
    };
    let chat = WireId::OpenaiChat;
    let good = Upstream::start(Answer::tokens(3).script(chat, Pace::Flat)).await;
    let (auth, model, busy, hangs) = (
        refusal(401, "invalid_api_key").await,
        refusal(404, "model_not_found").await,
        refusal(429, "x").await,
        Upstream::silent().await,
    );
    let (gone, (black_hole, _kept)) = (refusing_address().await, upstream::unresponsive_address());
    let setup = Setup::new()
        .provider("a-good", chat, good.addr)
        .provider("b-auth", chat, auth.addr)
        .provider("c-model", chat, model.addr)
        .provider("d-busy", chat, busy.addr)
        .provider("e-hangs", chat, hangs.addr)
        .provider("f-gone", chat, gone)
        .provider("g-hole", chat, black_hole)
        .provider("h-idle", chat, gone)
        .model("m", r#"["a-good/m", "b-auth/m", "c-model/m"]"#)
        .model(
            "n",
            r#"[["a-good/m", "d-busy/m"], "e-hangs/m", "f-gone/m", "g-hole/m"]"#,
        );
    let (code, rows) = clock
        .takes_at_most(Duration::from_secs(31), "the table", probed(&setup))
        .await;
    let table: Vec<(&str, &str, &str)> = rows.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
    assert_eq!(
        table,
        [
            ("a-good/m", "ok", ""),
            (
                "b-auth/m",
                "failed",
                "upstream_auth 401: the provider rejects the configured credential or account: check api_key and the account"
            ),
            ("c-model/m", "failed", table[2].2),
            ("d-busy/m", "failed", table[3].2),
            (
                "e-hangs/m",
                "failed",
                "upstream_timeout: no first token came within 30s"
            ),
            (
                "f-gone/m",
                "failed",
                "upstream_error: the upstream could not be reached"
            ),
            (
                "g-hole/m",
                "failed",
                "upstream_timeout: the upstream's `connect` clock ran out after 5s"
            ),
            ("h-idle", "not asked", "no route uses it"),
        ]
    );
    assert!(
        table[2].2.starts_with("model_not_found 404: ")
            && table[3].2.starts_with("rate_limited 429: "),
        "{table:?}"
    );
    assert!(!format!("{table:?}").contains("abcdefgh"), "{table:?}");
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(
        [&good, &auth, &model, &busy, &hangs].map(|it| it.count()),
        [1; 5],
        "each provider is called once"
    );
    hangs.closed(0).await;
}
