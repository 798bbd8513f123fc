//! `check --probe`: every target that a model routes to is asked for one token, and a table says
//! what came of it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::{columns, summary};
use crate::config::Config;
use crate::model::fault::{Code, Fault};
use crate::model::plural::counted;
use crate::model::target::Target;
use crate::upstream::{self, Clients};

/// The longest that a target is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Targets asked at a time: many of one provider at once would meet its limits.
const AT_ONCE: usize = 8;

/// The most characters of a reason that are shown.
const REASON: usize = 300;

/// Checks the configuration at `path` and asks its targets: the table to `out`, problems to `err`.
///
/// # Errors
/// When neither can be written.
pub async fn check(path: &Path, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(problems) => {
            writeln!(
                err,
                "{problems}\n{}",
                counted(problems.list().len(), "problem")
            )?;
            return Ok(ExitCode::FAILURE);
        }
    };
    writeln!(out, "{} is good: {}\n", path.display(), summary(&config))?;
    probe(&config, out, err).await
}

/// Asks every target that a model of `config` routes to. Exit code 0 when all have answered.
///
/// # Errors
/// When the table cannot be written.
pub async fn probe(
    config: &Config,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    let clients = match Clients::new(config.route.providers.values(), 1) {
        Ok(clients) => Arc::new(clients),
        Err(problem) => {
            writeln!(err, "{problem}")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let targets = targets(config);
    let asked = futures_util::stream::iter(
        targets
            .values()
            .cloned()
            .map(|target| upstream::probe(target, clients.clone(), PATIENCE)),
    );
    let results: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    let answered = results.iter().filter(|result| result.is_ok()).count();
    let mut lines = vec![["TARGET", "RESULT", "FIRST TOKEN", ""].map(str::to_owned)];
    lines.extend(
        targets
            .keys()
            .zip(&results)
            .map(|(name, result)| line(name, result)),
    );
    lines.extend(idle(config, &targets));
    write!(out, "{}", columns(&lines))?;
    writeln!(
        out,
        "\n{answered} of {} answered",
        counted(targets.len(), "target")
    )?;
    Ok(if answered == targets.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Each target of a route, by its name.
fn targets(config: &Config) -> BTreeMap<String, Target> {
    let routed = config
        .route
        .models
        .values()
        .flat_map(|model| model.tiers.iter().flatten());
    routed
        .map(|weighted| (weighted.target.to_string(), weighted.target.clone()))
        .collect()
}

fn line(name: &str, result: &Result<Duration, Box<Fault>>) -> [String; 4] {
    let [result, took, why] = match result {
        Ok(took) => ["ok".to_owned(), shown(*took), String::new()],
        Err(fault) => ["failed".to_owned(), "-".to_owned(), reason(fault)],
    };
    [name.to_owned(), result, took, why]
}

/// Providers that no route names.
fn idle(config: &Config, targets: &BTreeMap<String, Target>) -> Vec<[String; 4]> {
    let idle = config.route.providers.values().filter(|provider| {
        !targets
            .values()
            .any(|target| target.provider.name == provider.name)
    });
    let line = |provider: &Arc<crate::model::target::Provider>| {
        let why = if provider.direct {
            "clients name its models themselves"
        } else {
            "no route names it"
        };
        [
            provider.name.to_string(),
            "not asked".to_owned(),
            "-".to_owned(),
            why.to_owned(),
        ]
    };
    idle.map(line).collect()
}

/// Kind, the upstream's own status, and the message on one line.
fn reason(fault: &Fault) -> String {
    let status = fault
        .upstream_status
        .map(|status| format!(" {}", status.as_u16()))
        .unwrap_or_default();
    let message = if fault.code == Code::UpstreamAuth && fault.upstream_status.is_some() {
        "the provider refuses our credential or account: check its key"
    } else {
        &fault.message
    };
    let line: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(REASON)
        .collect();
    format!("{}{status}: {line}", fault.told_code())
}

fn shown(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{} ms", took.as_millis())
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::config::scratch::Scratch;
    use crate::wire::refusal;

    async fn checked(text: &str) -> (ExitCode, String, String) {
        let scratch = Scratch::new();
        scratch.write("demo/good.rec", include_str!("../../demo/tour.rec"));
        scratch.write("demo/bad.rec", "no recording");
        let path = scratch.write("config.toml", text);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(&path, &mut out, &mut err).await.unwrap();
        (
            code,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    const DEMO: &str = "providers.demo = { wire = 'replay', dir = 'demo', pace = '0s' }\n";

    #[tokio::test(start_paused = true)]
    async fn each_target_is_asked_once_and_all_must_answer() {
        let spare = "providers.spare = { wire = 'openai-chat', base_url = 'http://127.0.0.1:1' }\n\
                     providers.open = { wire = 'openai-chat', base_url = 'http://127.0.0.1:1', direct = true }\n";
        let models = "models.a.route = ['demo/good.rec']\nmodels.b.route = [['demo/good.rec', 'demo/bad.rec']]\n";
        let (code, out, err) = checked(&format!("{DEMO}{spare}{models}")).await;
        let lines: Vec<Vec<&str>> = out
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!((code, err.as_str()), (ExitCode::FAILURE, ""), "{out}");
        assert_eq!(lines[2], ["TARGET", "RESULT", "FIRST", "TOKEN"], "{out}");
        assert_eq!(
            lines[3][..4],
            ["demo/bad.rec", "failed", "-", "upstream_error:"],
            "{out}"
        );
        assert_eq!(lines[4], ["demo/good.rec", "ok", "0", "ms"], "{out}");
        assert!(
            out.contains("\nopen") && out.contains("clients name its models themselves\nspare"),
            "{out}"
        );
        assert!(
            out.ends_with("no route names it\n\n1 of 2 targets answered\n"),
            "{out}"
        );
        let (code, out, _) = checked(&format!("{DEMO}models.a.route = ['demo/good.rec']\n")).await;
        assert!(
            code == ExitCode::SUCCESS && out.ends_with("\n\n1 of 1 target answered\n"),
            "{out}"
        );
    }

    #[tokio::test]
    async fn a_configuration_with_problems_asks_nobody() {
        let (code, out, err) = checked("models.a.route = ['nobody/x']\n").await;
        assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
        assert!(err.ends_with("\n1 problem\n"), "{err}");
    }

    #[test]
    fn a_reason_names_kind_and_status_and_no_secret() {
        let of = |status, said: &str, code: Option<&str>| {
            let status = StatusCode::from_u16(status).unwrap();
            reason(&refusal::fault(
                status,
                &HeaderMap::new(),
                Some(said.to_owned()),
                None,
                code.map(str::to_owned),
                None,
            ))
        };
        assert_eq!(
            of(401, "Incorrect API key provided: sk-abc123", None),
            "upstream_auth 401: the provider refuses our credential or account: check its key"
        );
        assert_eq!(
            of(
                404,
                "The model\n`x` does not exist",
                Some("model_not_found")
            ),
            "model_not_found 404: The model `x` does not exist"
        );
        assert_eq!(
            of(500, "", None),
            "upstream_error 500: the upstream failed with status 500"
        );
        assert_eq!(
            reason(&Fault::new(Code::UpstreamTimeout, "no")),
            "upstream_timeout: no"
        );
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            (
                shown(Duration::from_millis(412)),
                shown(Duration::from_millis(1260))
            ),
            ("412 ms".into(), "1.3 s".into())
        );
    }
}
