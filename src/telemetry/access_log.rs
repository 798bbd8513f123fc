//! The access log: one line for each stream, written when it has ended.

use std::time::Duration;

use crate::model::event::End;
use crate::model::fault::Fault;
use crate::model::ids::{CallerId, StreamId};
use crate::model::route_trace::RouteTrace;
use crate::model::target::Target;

/// The fields of a line. Never contains content.
#[derive(Debug)]
pub struct Summary<'a> {
    /// The id of the stream.
    pub stream: &'a StreamId,
    /// The caller that started it.
    pub caller: &'a CallerId,
    /// The dialect of the request.
    pub dialect: &'static str,
    /// The model name in the request.
    pub model: &'a str,
    /// The target that answered, or else the last one that was asked.
    pub target: Option<&'a Target>,
    /// Number of requests to upstreams.
    pub attempts: u32,
    /// The outcomes of the targets of its route.
    pub route: &'a RouteTrace,
    /// The failure, if it failed.
    pub fault: Option<&'a Fault>,
    /// The end.
    pub end: &'a End,
    /// Time from admission to the first content.
    pub first_content: Option<Duration>,
    /// Time from admission to the end.
    pub took: Duration,
}

/// Writes the line of a stream.
pub fn write(it: &Summary<'_>) {
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

/// Returns the HTTP status for the outcome, which can differ from the status that the client
/// received.
fn status(it: &Summary<'_>) -> u16 {
    use crate::model::event::Reason;
    match (it.fault, it.end.reason) {
        (Some(fault), _) => fault.status.as_u16(),
        // The status that nginx logs when a client closes its request.
        (None, Reason::Cancelled) => 499,
        (None, _) => 200,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
