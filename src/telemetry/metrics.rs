//! The metrics of `GET /metrics`.
//!
//! Invariants: label values are configured names and our own constants only, so that a client
//! cannot create series; money is summed in whole billionths; a stream is counted once, when it is
//! settled, and not while its tokens arrive.

mod labels;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::model::event::End;
use crate::model::fault::Fault;
use crate::model::money::Money;
use crate::model::outcome::Outcome;
use crate::model::route_trace::{RouteTrace, TargetOutcome};
use labels::{Attempt, Billionths, Name, Refusal, Status, StreamLabels, Tokens};

/// Upper bounds of histogram buckets, seconds: those of the OpenTelemetry conventions for
/// generative AI, and three more for models that reason for minutes.
const SECONDS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];

type CounterFamily<L> = Family<L, Counter>;
type LevelGauge = Gauge<u64, AtomicU64>;
type SecondsFamily = Family<StreamLabels, Histogram, fn() -> Histogram>;

/// The text format of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    /// Chooses the format for a scraper by its `Accept` header.
    #[must_use]
    pub fn from_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Returns the content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The values of gauges at the time of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gauges {
    /// Number of running streams.
    pub running: usize,
    /// Number of attached readers.
    pub readers: usize,
    /// Number of concurrency slots in use.
    pub permits: usize,
    /// Number of tokens that are reserved or not settled.
    pub reserved_tokens: u64,
    /// Amount of reserved money.
    pub reserved_cost: Money,
}

/// A shared handle to all metrics.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Series>);

#[derive(Debug)]
struct Series {
    registry: Registry,
    streams: CounterFamily<Status>,
    tokens: CounterFamily<Tokens>,
    cost: Family<StreamLabels, Counter<Billionths, AtomicU64>>,
    refused: CounterFamily<Refusal>,
    attempts: CounterFamily<Attempt>,
    first_content: SecondsFamily,
    duration: SecondsFamily,
    running: LevelGauge,
    readers: LevelGauge,
    permits: LevelGauge,
    reserved_tokens: LevelGauge,
    reserved_cost: Gauge<f64, AtomicU64>,
}

impl Default for Series {
    fn default() -> Self {
        let mut new = SeriesRegistrar(Registry::with_prefix("sluicegate"));
        Self {
            streams: new.series("streams", "Streams that have ended, by outcome"),
            tokens: new.series(
                "tokens",
                "Tokens used: cached_input and cache_write are part of input, \
                 reasoning is part of output",
            ),
            cost: new.series(
                "cost",
                "Cost of streams, in the currency of the configured prices",
            ),
            refused: new.series("refused", "Rejected requests, by error code and limit"),
            attempts: new.series("attempts", "Requests to providers, by outcome"),
            first_content: new.seconds(
                "first_content",
                "Time from the admission of a request to its first content",
            ),
            duration: new.seconds(
                "duration",
                "Time from the admission of a request to the end of its stream",
            ),
            running: new.series("running", "Running streams"),
            readers: new.series("readers", "Clients that read a stream"),
            permits: new.series(
                "permits",
                "Concurrency slots in use, over the accounts of all limits",
            ),
            reserved_tokens: new.series(
                "reserved_tokens",
                "Tokens of limits that are reserved for running streams, or taken and not settled",
            ),
            reserved_cost: new.series(
                "reserved_cost",
                "Money of budgets that is reserved for running streams",
            ),
            registry: new.0,
        }
    }
}

/// Registers each metric when it is created.
struct SeriesRegistrar(Registry);

impl SeriesRegistrar {
    fn series<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn seconds(&mut self, name: &str, help: &str) -> SecondsFamily {
        let new: fn() -> Histogram = || Histogram::new(SECONDS);
        let metric = Family::new_with_constructor(new);
        self.0
            .register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }
}

impl Metrics {
    /// Records a stream. Must be called once per stream, when it is settled.
    pub fn record_stream(&self, it: &Outcome) {
        let provider = it.target.as_ref().map(|target| &target.provider.name);
        let flow = StreamLabels {
            model: Name(it.label.clone()),
            provider: Name(provider.cloned().unwrap_or_default()),
        };
        self.0
            .streams
            .get_or_create(&Status {
                flow: flow.clone(),
                status: it.end.reason.outcome(),
            })
            .inc();
        self.record_usage(&flow, &it.end);
        // A stream that failed before its first content has no such time.
        if let Some(after) = it.times.first_content {
            self.0
                .first_content
                .get_or_create(&flow)
                .observe(after.as_secs_f64());
        }
        self.0
            .duration
            .get_or_create(&flow)
            .observe(it.times.took.as_secs_f64());
        self.record_attempts(&it.trace);
    }

    /// Records tokens and cost.
    fn record_usage(&self, flow: &StreamLabels, end: &End) {
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
            self.0
                .cost
                .get_or_create(flow)
                .inc_by(Billionths::from_money(cost));
        }
    }

    /// Records the requests to each target. If a target was asked several times, all requests but
    /// the last failed.
    fn record_attempts(&self, route: &RouteTrace) {
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
            // A target that was skipped after a request failed before: all its requests count as
            // failed.
            let failed = matches!(
                step.outcome,
                TargetOutcome::Failed(_) | TargetOutcome::Skipped(_)
            );
            count("failed", step.tries - u32::from(!failed));
            count(step.outcome.name(), u32::from(!failed));
        }
    }

    /// Records a rejected request.
    pub fn record_refusal(&self, fault: &Fault) {
        self.0
            .refused
            .get_or_create(&Refusal {
                code: fault.code.as_str(),
                limit: fault.limit.unwrap_or_default(),
            })
            .inc();
    }

    /// Sets the gauges and returns all metrics as text for scrapers.
    ///
    /// # Errors
    /// When a value cannot be written, which does not happen with a `String`.
    pub fn encode(&self, now: &Gauges, format: Format) -> Result<String, fmt::Error> {
        let series = &*self.0;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        series.running.set(count(now.running));
        series.readers.set(count(now.readers));
        series.permits.set(count(now.permits));
        series.reserved_tokens.set(now.reserved_tokens);
        series
            .reserved_cost
            .set(Billionths::from_money(now.reserved_cost).units());
        let mut out = String::new();
        match format {
            Format::OpenMetrics => text::encode(&mut out, &series.registry)?,
            Format::Text => prometheus_text::encode(&mut out, &series.registry)?,
        }
        Ok(out)
    }
}
