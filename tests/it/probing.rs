//! `check --probe`: what an operator is told of upstreams that answer, refuse, hang, or are not
//! there.

use std::process::ExitCode;
use std::time::Duration;

use sluicegate::cli::probe::probe;

use crate::rig::upstream::{self, json, refusing};
use crate::rig::{Pace, Say, Scene, Setup, Upstream, Virtual, WireId, wires};

/// The exit code, and what is told of each target: result, and why.
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
            // Columns are two blanks apart at least.
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
async fn an_upstream_that_answers_is_asked_for_one_token_and_let_go() {
    for wire in wires() {
        let _scene = Scene::of(format!("{wire:?}"));
        let upstream = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
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
async fn one_token_is_asked_for() {
    let upstream = Upstream::start(Say::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
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
async fn each_way_to_fail_is_told_by_its_reason() {
    let clock = Virtual::start();
    let refusal = |status, code: &str| {
        Upstream::always(json(
            status,
            format!(
                r#"{{"error":{{"message":"sk-proj-abcdefghijklmnop1234567890 cannot","type":"t","code":"{code}"}}}}"#
            ),
        ))
    };
    let chat = WireId::OpenaiChat;
    let good = Upstream::start(Say::tokens(3).script(chat, Pace::Flat)).await;
    let (auth, model, busy, hangs) = (
        refusal(401, "invalid_api_key").await,
        refusal(404, "model_not_found").await,
        refusal(429, "x").await,
        Upstream::silent().await,
    );
    let (gone, (black_hole, _kept)) = (refusing().await, upstream::unreachable());
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
    let told: Vec<(&str, &str, &str)> = rows.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
    assert_eq!(
        told,
        [
            ("a-good/m", "ok", ""),
            (
                "b-auth/m",
                "failed",
                "upstream_auth 401: the provider refuses our credential or account: check its key"
            ),
            ("c-model/m", "failed", told[2].2),
            ("d-busy/m", "failed", told[3].2),
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
            ("h-idle", "not asked", "no route names it"),
        ]
    );
    assert!(
        told[2].2.starts_with("model_not_found 404: ")
            && told[3].2.starts_with("rate_limited 429: "),
        "{told:?}"
    );
    assert!(!format!("{told:?}").contains("abcdefgh"), "{told:?}");
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(
        [&good, &auth, &model, &busy, &hangs].map(|it| it.count()),
        [1; 5],
        "each is asked once"
    );
    hangs.closed(0).await;
}
