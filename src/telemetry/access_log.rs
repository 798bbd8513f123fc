//! One line for each stream, when it has ended.

use std::time::Duration;

use crate::model::event::End;
use crate::model::fault::Fault;
use crate::model::ids::{CallerId, StreamId};
use crate::model::route_trace::RouteTrace;
use crate::model::target::Target;

/// What the line says. Never content.
#[derive(Debug)]
pub struct Summary<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// Whose it was.
    pub caller: &'a CallerId,
    /// The dialect it was asked in.
    pub dialect: &'static str,
    /// The model asked for.
    pub model: &'a str,
    /// The target that answered, or was asked last.
    pub target: Option<&'a Target>,
    /// How many requests went upstream.
    pub attempts: u32,
    /// What became of the targets of its route.
    pub route: &'a RouteTrace,
    /// How it failed.
    pub fault: Option<&'a Fault>,
    /// How it ended.
    pub end: &'a End,
    /// Until the first content.
    pub first_content: Option<Duration>,
    /// Until the end.
    pub took: Duration,
}

/// Writes the line.
pub fn line(it: &Summary<'_>) {
    let usage = it.end.usage.unwrap_or_default();
    tracing::info!(
        target: "sluicegate::access",
        stream = it.stream.as_str(),
        caller = %it.caller,
        dialect = it.dialect,
        model = it.model,
        target = it.target.map_or_else(|| "-".to_owned(), ToString::to_string),
        attempts = it.attempts,
        route = %it.route,
        status = status(it),
        reason = it.end.reason.name(),
        code = it.fault.map_or("-", |fault| fault.code.as_str()),
        ttft_ms = it.first_content.map(millis),
        ms = millis(it.took),
        input_tokens = usage.input,
        output_tokens = usage.output,
        estimated = usage.estimated,
        cost = usage.cost.map(tracing::field::display),
        "stream"
    );
}

/// The status that the outcome stands for, whatever head a client was sent.
fn status(it: &Summary<'_>) -> u16 {
    use crate::model::event::Reason;
    match (it.fault, it.end.reason) {
        (Some(fault), _) => fault.status.as_u16(),
        (None, Reason::Cancelled) => 499,
        (None, _) => 200,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
