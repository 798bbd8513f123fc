//! `check --probe`: requests one token from every target of a route and prints a table of the
//! results.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::{format_table, summary};
use crate::config::Config;
use crate::model::fault::{Code, Fault};
use crate::model::plural::pluralize;
use crate::model::target::Target;
use crate::upstream::{self, Clients};

/// Maximum time for the answer of one target.
const TARGET_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of targets probed at once: many requests to one provider could exceed its limits.
const MAX_CONCURRENT: usize = 8;

/// Maximum number of characters printed of a failure's reason.
const MAX_REASON: usize = 300;

/// Checks the configuration at `path` and probes its targets. Writes the table to `out`, problems
/// to `err`.
///
/// # Errors
/// Returns an error if the output cannot be written.
pub async fn check(path: &Path, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(problems) => {
            writeln!(
                err,
                "{problems}\n{}",
                pluralize(problems.list().len(), "problem")
            )?;
            return Ok(ExitCode::FAILURE);
        }
    };
    writeln!(out, "{} is valid: {}\n", path.display(), summary(&config))?;
    probe(&config, out, err).await
}

/// Probes every target of a route in `config`. The exit code is 0 if all have answered.
///
/// # Errors
/// Returns an error if the table cannot be written.
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
    // `buffered` keeps the order of the targets, so that results can be paired with their names.
    let probes = futures_util::stream::iter(
        targets
            .values()
            .cloned()
            .map(|target| upstream::probe(target, clients.clone(), TARGET_TIMEOUT)),
    );
    let results: Vec<_> = probes.buffered(MAX_CONCURRENT).collect().await;
    let answered = results.iter().filter(|result| result.is_ok()).count();
    let mut rows = vec![["TARGET", "RESULT", "FIRST TOKEN", ""].map(str::to_owned)];
    rows.extend(
        targets
            .keys()
            .zip(&results)
            .map(|(name, result)| result_row(name, result)),
    );
    rows.extend(unrouted_providers(config, &targets));
    write!(out, "{}", format_table(&rows))?;
    writeln!(
        out,
        "\n{answered} of {} answered",
        pluralize(targets.len(), "target")
    )?;
    Ok(if answered == targets.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns the targets of all routes, each once, by name.
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

fn result_row(name: &str, result: &Result<Duration, Box<Fault>>) -> [String; 4] {
    let [result, duration, why] = match result {
        Ok(duration) => ["ok".to_owned(), format_duration(*duration), String::new()],
        Err(fault) => ["failed".to_owned(), "-".to_owned(), reason(fault)],
    };
    [name.to_owned(), result, duration, why]
}

/// Returns a row for each provider that no route uses.
fn unrouted_providers(config: &Config, targets: &BTreeMap<String, Target>) -> Vec<[String; 4]> {
    let unrouted = config.route.providers.values().filter(|provider| {
        !targets
            .values()
            .any(|target| target.provider.name == provider.name)
    });
    let line = |provider: &Arc<crate::model::target::Provider>| {
        let why = if provider.direct {
            "no route uses it; clients request its models directly"
        } else {
            "no route uses it"
        };
        [
            provider.name.to_string(),
            "not asked".to_owned(),
            "-".to_owned(),
            why.to_owned(),
        ]
    };
    unrouted.map(line).collect()
}

/// Returns the error code, the upstream's status if there is one, and the message, on one line.
fn reason(fault: &Fault) -> String {
    let status = fault
        .upstream_status
        .map(|status| format!(" {}", status.as_u16()))
        .unwrap_or_default();
    // The provider's own message may quote the API key.
    let message = if fault.code == Code::UpstreamAuth && fault.upstream_status.is_some() {
        "the provider rejects the configured credential or account: check api_key and the account"
    } else {
        &fault.message
    };
    // The message comes from the provider and is printed to a terminal.
    let line: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_REASON)
        .collect();
    format!("{}{status}: {line}", fault.client_code())
}

fn format_duration(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::config::scratch::Scratch;
    use crate::wire::refusal;

    async fn check_output(text: &str) -> (ExitCode, String, String) {
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
    async fn each_target_is_probed_once_and_all_must_answer() {
        let spare = "providers.spare = { wire = 'openai-chat', base_url = 'http://127.0.0.1:1' }\n\
                     providers.open = { wire = 'openai-chat', base_url = 'http://127.0.0.1:1', direct = true }\n";
        let models = "models.a.route = ['demo/good.rec']\nmodels.b.route = [['demo/good.rec', 'demo/bad.rec']]\n";
        let (code, out, err) = check_output(&format!("{DEMO}{spare}{models}")).await;
        let rows: Vec<Vec<&str>> = out
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!((code, err.as_str()), (ExitCode::FAILURE, ""), "{out}");
        assert_eq!(rows[2], ["TARGET", "RESULT", "FIRST", "TOKEN"], "{out}");
        assert_eq!(
            rows[3][..4],
            ["demo/bad.rec", "failed", "-", "upstream_error:"],
            "{out}"
        );
        assert_eq!(rows[4], ["demo/good.rec", "ok", "0", "ms"], "{out}");
        assert!(
            out.contains("\nopen")
                && out.contains("no route uses it; clients request its models directly\nspare"),
            "{out}"
        );
        assert!(
            out.ends_with("no route uses it\n\n1 of 2 targets answered\n"),
            "{out}"
        );
        let (code, out, _) =
            check_output(&format!("{DEMO}models.a.route = ['demo/good.rec']\n")).await;
        assert!(
            code == ExitCode::SUCCESS && out.ends_with("\n\n1 of 1 target answered\n"),
            "{out}"
        );
    }

    #[tokio::test]
    async fn a_configuration_with_problems_probes_nothing() {
        let (code, out, err) = check_output("models.a.route = ['nobody/x']\n").await;
        assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
        assert!(err.ends_with("\n1 problem\n"), "{err}");
    }

    #[test]
    fn a_reason_names_code_and_status_and_no_secret() {
        let of = |status, message: &str, code: Option<&str>| {
            let status = StatusCode::from_u16(status).unwrap();
            reason(&refusal::fault(
                status,
                &HeaderMap::new(),
                Some(message.to_owned()),
                None,
                code.map(str::to_owned),
                None,
            ))
        };
        assert_eq!(
            of(401, "Incorrect API key provided: sk-abc123", None),
            "upstream_auth 401: the provider rejects the configured credential or account: check api_key and the account"
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
    fn durations_are_formatted_briefly() {
        assert_eq!(
            (
                format_duration(Duration::from_millis(412)),
                format_duration(Duration::from_millis(1260))
            ),
            ("412 ms".into(), "1.3 s".into())
        );
    }
}
