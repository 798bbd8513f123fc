//! Logs and metrics. Handles are passed in or are `tracing`'s own.
//!
//! Invariants: no prompt, completion, secret or query string is logged or used as a label; streams
//! are identified by their server-made id.

pub mod access_log;
pub mod metrics;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// The settings of the log.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A `tracing` filter: `info`, or `info,sluicegate=debug`.
    pub log: String,
    /// True for one JSON object per line instead of text.
    pub json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log: "info".into(),
            json: false,
        }
    }
}

/// Starts logging to standard error.
///
/// # Errors
/// When the filter cannot be parsed, or logging was started before. The error states which.
pub fn init(settings: &Settings) -> Result<(), String> {
    let filter = parse_filter(&settings.log).map_err(|error| format!("telemetry.log: {error}"))?;
    let text = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    let lines = if settings.json {
        text.json().flatten_event(true).boxed()
    } else {
        text.boxed()
    };
    // As a layer of its own, the filter is asked once per call site and not once per event.
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    started.map_err(|error| format!("logging cannot be started: {error}"))
}

/// Parses a filter by level and module: `info`, or `info,sluicegate=debug`.
///
/// # Errors
/// When it is none. The error states the part that is wrong.
pub fn parse_filter(text: &str) -> Result<Targets, String> {
    text.parse().map_err(|error| format!("{error}"))
}
