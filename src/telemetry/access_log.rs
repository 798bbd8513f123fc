//! The access log: one line for each stream, written when it has ended.

use crate::model::outcome::Outcome;

/// Writes the line of a stream.
pub fn write(it: &Outcome) {
    let usage = it.end.usage.unwrap_or_default();
    tracing::info!(
        target: "sluicegate::access",
        stream = it.stream.as_str(),
        caller = %it.caller,
        dialect = it.head.dialect.name(),
        model = &*it.head.model,
        target = it.target.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        attempts = it.attempts,
        route = %it.trace,
        status = status(it),
        reason = it.end.reason.name(),
        code = it.fault.as_ref().map_or("-", |fault| fault.code.as_str()),
        ttft_ms = it.times.first_content_ms(),
        ms = it.times.took_ms(),
        input_tokens = usage.input,
        output_tokens = usage.output,
        estimated = usage.estimated,
        cost = usage.cost.map(tracing::field::display),
        "stream"
    );
}

/// Returns the HTTP status for the outcome, which can differ from the status that the client
/// received.
fn status(it: &Outcome) -> u16 {
    use crate::model::event::Reason;
    match (&it.fault, it.end.reason) {
        (Some(fault), _) => fault.status.as_u16(),
        // The status that nginx logs when a client closes its request.
        (None, Reason::Cancelled) => 499,
        (None, _) => 200,
    }
}
