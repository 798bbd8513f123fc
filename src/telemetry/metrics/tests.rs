use std::time::Duration;

use super::*;
use crate::model::event::Reason;
use crate::model::fault::Code;
use crate::model::outcome::Times;
use crate::model::route_trace::{SkipReason, Step};
use crate::model::target::{Provider, Target};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

fn end(reason: Reason, usage: Option<Usage>) -> End {
    End {
        reason,
        native: None,
        usage,
    }
}

fn used(input: u64, output: u64, cost: u64) -> Usage {
    Usage {
        input: Some(input),
        output: Some(output),
        cost: Some(Money::from_nanos(cost)),
        ..Usage::default()
    }
}

fn count(metrics: &Metrics, provider: Option<&'static str>, end: End, trace: RouteTrace) {
    let target = provider.map(|name| {
        let provider = Provider {
            name: name.into(),
            ..Provider::example(WireId::OpenaiChat, "http://127.0.0.1:1")
        };
        Target::example(provider, "x")
    });
    metrics.record_stream(&Outcome {
        label: "m".into(),
        target,
        trace,
        end,
        times: Times {
            first_content: Some(Duration::from_millis(300)),
            took: Duration::from_secs(700),
        },
        ..Outcome::example()
    });
}

fn encoded(metrics: &Metrics, format: Format) -> String {
    let now = Gauges {
        running: 2,
        readers: 3,
        permits: 4,
        reserved_tokens: 5,
        reserved_cost: Money::from_nanos(1_500_000_000),
    };
    metrics.encode(&now, format).unwrap()
}

#[test]
fn every_metric_is_written_in_both_formats() {
    let metrics = Metrics::default();
    let whole = Usage {
        cached_input: Some(4),
        cache_write: Some(3),
        reasoning: Some(2),
        ..used(11, 7, 25_000)
    };
    count(
        &metrics,
        Some("up"),
        end(Reason::Length, Some(whole)),
        RouteTrace::default(),
    );
    count(
        &metrics,
        Some("up"),
        end(Reason::Stop, Some(used(1, 1, 300))),
        RouteTrace::default(),
    );
    count(
        &metrics,
        None,
        end(Reason::Error, None),
        RouteTrace::default(),
    );
    metrics.record_refusal(&Fault::new(Code::RateLimited, "slow down").with_limit("team"));
    metrics.record_refusal(&Fault::new(Code::ModelNotFound, "no `x\"y`"));
    for format in [Format::OpenMetrics, Format::Text] {
        let text = encoded(&metrics, format);
        for line in [
            "# TYPE sluicegate_first_content_seconds histogram",
            r#"sluicegate_streams_total{model="m",provider="up",status="completed"} 2"#,
            r#"sluicegate_streams_total{model="m",provider="",status="failed"} 1"#,
            r#"sluicegate_tokens_total{model="m",provider="up",type="input"} 12"#,
            r#"sluicegate_tokens_total{model="m",provider="up",type="cached_input"} 4"#,
            r#"sluicegate_tokens_total{model="m",provider="up",type="cache_write"} 3"#,
            r#"sluicegate_tokens_total{model="m",provider="up",type="output"} 8"#,
            r#"sluicegate_tokens_total{model="m",provider="up",type="reasoning"} 2"#,
            r#"sluicegate_cost_total{model="m",provider="up"} 0.0000253"#,
            r#"sluicegate_refused_total{code="rate_limited",limit="team"} 1"#,
            r#"sluicegate_refused_total{code="model_not_found",limit=""} 1"#,
            r#"sluicegate_duration_seconds_count{model="m",provider="up"} 2"#,
            "sluicegate_running 2",
            "sluicegate_readers 3",
            "sluicegate_permits 4",
            "sluicegate_reserved_tokens 5",
            "sluicegate_reserved_cost 1.5",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        for (metric, le, count) in [
            ("first_content", "0.16", 0),
            ("first_content", "0.32", 2),
            ("duration", "655.36", 0),
            ("duration", "+Inf", 2),
        ] {
            // The position of `le` differs between the formats and has no meaning.
            let labels = match format {
                Format::OpenMetrics => format!(r#"le="{le}",model="m",provider="up""#),
                Format::Text => format!(r#"model="m",provider="up",le="{le}""#),
            };
            let line = format!("sluicegate_{metric}_seconds_bucket{{{labels}}} {count}");
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
    }
}

#[test]
fn money_is_summed_exactly() {
    let metrics = Metrics::default();
    for _ in 0..1000 {
        count(
            &metrics,
            Some("up"),
            end(Reason::Stop, Some(used(1, 1, 100_000_001))),
            RouteTrace::default(),
        );
    }
    assert!(
        encoded(&metrics, Format::OpenMetrics)
            .contains("cost_total{model=\"m\",provider=\"up\"} 100.000001\n")
    );
}

#[test]
fn requests_to_providers_are_counted_by_outcome() {
    let step = |provider: &'static str, tries, outcome| Step {
        provider: provider.into(),
        model: "x".into(),
        hedge: false,
        tries,
        outcome,
        took: None,
    };
    let mut route = RouteTrace::default();
    route.add(step("a", 3, TargetOutcome::Failed("upstream_error")));
    route.add(step("b", 0, TargetOutcome::Skipped(SkipReason::Breaker)));
    route.add(step("a", 1, TargetOutcome::Lost));
    route.add(step("c", 2, TargetOutcome::Answered));
    let metrics = Metrics::default();
    count(&metrics, Some("c"), end(Reason::Stop, None), route);
    let text = encoded(&metrics, Format::Text);
    let mut attempts: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("sluicegate_attempts_total{"))
        .collect();
    attempts.sort_unstable();
    assert_eq!(
        attempts,
        [
            r#"sluicegate_attempts_total{provider="a",outcome="failed"} 3"#,
            r#"sluicegate_attempts_total{provider="a",outcome="lost"} 1"#,
            r#"sluicegate_attempts_total{provider="c",outcome="answered"} 1"#,
            r#"sluicegate_attempts_total{provider="c",outcome="failed"} 1"#,
        ]
    );
}

#[test]
fn the_format_follows_the_accept_header() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
    for (accept, format) in [
        (prometheus, Format::OpenMetrics),
        ("text/plain", Format::Text),
        ("*/*", Format::Text),
        ("", Format::Text),
    ] {
        assert_eq!(Format::from_accept(accept), format, "{accept}");
    }
}
