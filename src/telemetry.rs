//! Logs and metrics. Handles are passed in or are `tracing`'s own; nothing here holds content.
//!
//! Invariants: no prompt, completion, secret or query string is ever logged or counted by; streams
//! go by their server-made id.

pub mod access_log;
pub mod metrics;

use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A `tracing` filter: `info`, or `info,sluicegate=debug`.
    pub log: String,
    /// One JSON object a line instead of text.
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

/// Begins logging to standard error.
///
/// # Errors
/// When the filter cannot be read, or logging has begun before: says which.
pub fn begin(settings: &Settings) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(&settings.log).map_err(|error| format!("telemetry.log: {error}"))?;
    let plain = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let begun = if settings.json {
        plain.json().flatten_event(true).try_init()
    } else {
        plain.try_init()
    };
    begun.map_err(|error| format!("logging cannot begin: {error}"))
}
