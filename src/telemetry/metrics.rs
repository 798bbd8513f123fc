//! Every series of `GET /metrics`.
//!
//! Invariants: label values are names of the configuration and words of ours alone, so that no
//! client makes a series of its own; money is added up in whole billionths; nothing is counted
//! while tokens flow, but once, when a stream is settled.

mod labels;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytestring::ByteString;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::model::event::End;
use crate::model::fault::Fault;
use crate::model::money::Money;
use crate::model::route_trace::{RouteTrace, TargetOutcome};
use labels::{Attempt, Billionths, Flow, Name, Refusal, Status, Tokens};

/// Upper bounds, seconds: those of the OpenTelemetry conventions for generative AI, and three more
/// for models that reason for minutes.
const SECONDS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];

type Sum<L> = Family<L, Counter>;
type Level = Gauge<u64, AtomicU64>;
type Times = Family<Flow, Histogram, fn() -> Histogram>;

/// The form of an exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    /// The one to answer a scraper with that accepts this.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Its content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A stream that has ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// The model's name in the configuration, or `provider/*`; never a client's own word.
    pub model: &'a ByteString,
    /// The account that answered, or was asked last.
    pub provider: Option<&'a ByteString>,
    /// What became of the targets of its route.
    pub route: &'a RouteTrace,
    /// How it ended, and what it used.
    pub end: &'a End,
    /// Until the first content.
    pub first_content: Option<Duration>,
    /// Until the end.
    pub took: Duration,
}

/// What is going on at the moment of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels {
    /// Streams that run.
    pub running: usize,
    /// Readers attached.
    pub readers: usize,
    /// Slots of concurrency that are taken.
    pub permits: usize,
    /// Tokens that are reserved or not settled.
    pub reserved_tokens: u64,
    /// Money that is reserved.
    pub reserved_cost: Money,
}

/// The handle that is passed to whoever has something to count.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Series>);

#[derive(Debug)]
struct Series {
    registry: Registry,
    streams: Sum<Status>,
    tokens: Sum<Tokens>,
    cost: Family<Flow, Counter<Billionths, AtomicU64>>,
    refused: Sum<Refusal>,
    attempts: Sum<Attempt>,
    first_content: Times,
    duration: Times,
    running: Level,
    readers: Level,
    permits: Level,
    reserved_tokens: Level,
    reserved_cost: Gauge<f64, AtomicU64>,
}

impl Default for Series {
    fn default() -> Self {
        let mut new = Registering(Registry::with_prefix("sluicegate"));
        let times: fn() -> Times = || Family::new_with_constructor(|| Histogram::new(SECONDS));
        Self {
            streams: new.series("streams", "Streams that have ended, by what became of them", Family::default()),
            tokens: new.series(
                "tokens",
                "Tokens used: cached_input and cache_write are part of input, reasoning is part of output",
                Family::default(),
            ),
            cost: new.series("cost", "What streams have cost, in the currency of the configured prices", Family::default()),
            refused: new.series("refused", "Requests that were refused, by error code and limit", Family::default()),
            attempts: new.series("attempts", "Requests to providers, by what became of them", Family::default()),
            first_content: new.seconds("first_content", "From a request's admission to its first content", times()),
            duration: new.seconds("duration", "From a request's admission to the end of its stream", times()),
            running: new.series("running", "Streams that run", Level::default()),
            readers: new.series("readers", "Clients that follow a stream", Level::default()),
            permits: new.series("permits", "Places that running streams take, over the accounts of all limits", Level::default()),
            reserved_tokens: new.series(
                "reserved_tokens",
                "Tokens reserved of limits for streams that run, or taken and not settled",
                Level::default(),
            ),
            reserved_cost: new.series("reserved_cost", "Money reserved of budgets for streams that run", Gauge::default()),
            registry: new.0,
        }
    }
}

/// Takes down each series as it is made.
struct Registering(Registry);

impl Registering {
    fn series<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0
            .register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }
}

impl Metrics {
    /// Counts a stream, once, when it is settled.
    pub fn ended(&self, it: &Ended<'_>) {
        let flow = Flow {
            model: Name(it.model.clone()),
            provider: Name(it.provider.cloned().unwrap_or_default()),
        };
        self.0
            .streams
            .get_or_create(&Status {
                flow: flow.clone(),
                status: it.end.reason.outcome(),
            })
            .inc();
        self.used(&flow, it.end);
        if let Some(after) = it.first_content {
            self.0
                .first_content
                .get_or_create(&flow)
                .observe(after.as_secs_f64());
        }
        self.0
            .duration
            .get_or_create(&flow)
            .observe(it.took.as_secs_f64());
        self.asked(it.route);
    }

    fn used(&self, flow: &Flow, end: &End) {
        let Some(used) = end.usage else { return };
        let kinds = [
            ("input", used.input),
            ("cached_input", used.cached_input),
            ("cache_write", used.cache_write),
            ("output", used.output),
            ("reasoning", used.reasoning),
        ];
        for (kind, tokens) in kinds {
            if let Some(tokens) = tokens {
                self.0
                    .tokens
                    .get_or_create(&Tokens {
                        flow: flow.clone(),
                        r#type: kind,
                    })
                    .inc_by(tokens);
            }
        }
        if let Some(cost) = used.cost {
            self.0.cost.get_or_create(flow).inc_by(Billionths::of(cost));
        }
    }

    /// A target that was asked several times has failed each time but the last.
    fn asked(&self, route: &RouteTrace) {
        for step in route.steps().iter().filter(|step| step.tries > 0) {
            let count = |outcome: &'static str, times: u32| {
                if times > 0 {
                    self.0
                        .attempts
                        .get_or_create(&Attempt {
                            provider: Name(step.provider.clone()),
                            outcome,
                        })
                        .inc_by(times.into());
                }
            };
            let failed = matches!(
                step.outcome,
                TargetOutcome::Failed(_) | TargetOutcome::Skipped(_)
            );
            count("failed", step.tries - u32::from(!failed));
            count(step.outcome.name(), u32::from(!failed));
        }
    }

    /// Counts a request that was refused.
    pub fn refused(&self, fault: &Fault) {
        self.0
            .refused
            .get_or_create(&Refusal {
                code: fault.code.as_str(),
                limit: fault.limit.unwrap_or_default(),
            })
            .inc();
    }

    /// All of it, as scrapers read it.
    ///
    /// # Errors
    /// Where a value cannot be written, which a `String` never says.
    pub fn written(&self, now: &Levels, format: Format) -> Result<String, fmt::Error> {
        let series = &*self.0;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        series.running.set(count(now.running));
        series.readers.set(count(now.readers));
        series.permits.set(count(now.permits));
        series.reserved_tokens.set(now.reserved_tokens);
        series
            .reserved_cost
            .set(Billionths::of(now.reserved_cost).units());
        let mut out = String::new();
        match format {
            Format::OpenMetrics => text::encode(&mut out, &series.registry)?,
            Format::Text => prometheus_text::encode(&mut out, &series.registry)?,
        }
        Ok(out)
    }
}
