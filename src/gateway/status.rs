//! The status JSON of a stream. Unknown values are null, never absent.

use bytes::Bytes;
use serde::Serialize;

use crate::hub::{Stream, StreamState, UpstreamState};
use crate::model::fault::Fault;
use crate::model::fold::{Answer, Choice, Part};
use crate::model::money::Money;
use crate::model::route_trace::{RouteTrace, Step};
use crate::model::usage::Usage;

#[derive(Serialize)]
struct Status<'a> {
    id: &'a str,
    name: Option<&'a str>,
    status: &'a str,
    model: Option<&'a str>,
    provider: Option<&'a str>,
    created: Option<u64>,
    ended: Option<u64>,
    reason: Option<&'a str>,
    error: Option<ErrorBody<'a>>,
    usage: Option<UsageBody>,
    estimated: Option<bool>,
    cost: Option<Money>,
    upstream: &'a str,
    text: Option<String>,
    reasoning: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    choices: Option<Vec<ChoiceBody<'a>>>,
    readers: usize,
    route: Vec<RouteStep>,
}

/// The outcome of a target of the route.
#[derive(Serialize)]
struct RouteStep {
    provider: String,
    model: String,
    outcome: &'static str,
    reason: Option<&'static str>,
    hedge: bool,
    tries: u32,
    ms: Option<u64>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    retryable: bool,
}

#[derive(Serialize)]
struct UsageBody {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_input_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    total_tokens: Option<u64>,
    estimated: bool,
}

#[derive(Serialize)]
struct Call<'a> {
    index: u16,
    id: &'a str,
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct ChoiceBody<'a> {
    index: usize,
    reason: Option<&'a str>,
    text: String,
    reasoning: String,
    refusal: String,
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'a str,
    data: Vec<Status<'a>>,
    has_more: bool,
}

/// Returns the status of a stream (JSON), with or without its content.
pub(super) fn stream_json(stream: &Stream, with_content: bool) -> Bytes {
    let status = stream.status(with_content);
    let mut body = without_content(stream, &status);
    if let Some(answer) = &status.answer {
        add_content(&mut body, answer, stream.head().choices);
    }
    json(&body)
}

/// Returns a page of the caller's streams (JSON), without content.
pub(super) fn list_json(page: &[&std::sync::Arc<Stream>], more: bool) -> Bytes {
    let statuses: Vec<_> = page.iter().map(|stream| stream.status(false)).collect();
    let data = page
        .iter()
        .zip(&statuses)
        .map(|(stream, status)| without_content(stream, status))
        .collect();
    json(&List {
        object: "list",
        data,
        has_more: more,
    })
}

/// Returns the status of a name whose request is still being read (JSON).
pub(super) fn pending_json(name: &str) -> Bytes {
    json(&Status {
        id: name,
        name: Some(name),
        status: StreamState::Cancelling.name(),
        model: None,
        provider: None,
        created: None,
        ended: None,
        reason: None,
        error: None,
        usage: None,
        estimated: None,
        cost: None,
        upstream: UpstreamState::None.name(),
        text: None,
        reasoning: None,
        refusal: None,
        tool_calls: None,
        choices: None,
        readers: 0,
        route: Vec::new(),
    })
}

fn without_content<'a>(stream: &'a Stream, status: &'a crate::hub::StreamStatus) -> Status<'a> {
    let usage = status.end.as_ref().and_then(|end| end.usage);
    Status {
        id: stream.id().as_str(),
        name: stream.name(),
        status: status.state.name(),
        model: Some(&stream.head().model),
        provider: status.route.as_ref().map(|route| &*route.provider),
        created: Some(stream.start().created),
        ended: status.ended,
        reason: status.end.as_ref().map(|end| end.reason.name()),
        error: status.fault.as_ref().map(error),
        usage: usage.as_ref().map(usage_body),
        estimated: usage.map(|usage| usage.estimated),
        cost: usage.and_then(|usage| usage.cost),
        upstream: status.upstream.name(),
        text: None,
        reasoning: None,
        refusal: None,
        tool_calls: None,
        choices: None,
        readers: status.readers,
        route: route_steps(&stream.trace()),
    }
}

fn add_content<'a>(status: &mut Status<'a>, answer: &'a Answer, choices: u16) {
    static EMPTY: Choice = Choice {
        parts: Vec::new(),
        finish: None,
    };
    let first = answer.choices.first().unwrap_or(&EMPTY);
    status.text = Some(first.text());
    status.reasoning = Some(first.reasoning());
    // Null unless the model has refused.
    status.refusal = Some(first.refusal()).filter(|text| !text.is_empty());
    status.tool_calls = Some(calls(first));
    // The first choice stays at the top level: clients that request one choice read only that.
    if choices > 1 {
        status.choices = Some(answer.choices.iter().enumerate().map(choice).collect());
    }
}

fn choice((index, it): (usize, &Choice)) -> ChoiceBody<'_> {
    let reason = it.finish.as_ref().map(|finish| finish.reason.name());
    ChoiceBody {
        index,
        reason,
        text: it.text(),
        reasoning: it.reasoning(),
        refusal: it.refusal(),
        tool_calls: calls(it),
    }
}

fn calls(choice: &Choice) -> Vec<Call<'_>> {
    let call = |part| match part {
        &Part::ToolCall {
            index,
            ref id,
            ref name,
            ref arguments,
            ..
        } => Some(Call {
            index,
            id,
            name,
            arguments,
        }),
        _ => None,
    };
    choice.parts.iter().filter_map(call).collect()
}

fn route_steps(trace: &RouteTrace) -> Vec<RouteStep> {
    trace.steps().iter().map(step).collect()
}

fn step(it: &Step) -> RouteStep {
    RouteStep {
        provider: it.provider.to_string(),
        model: it.model.to_string(),
        outcome: it.outcome.name(),
        reason: it.outcome.reason(),
        hedge: it.hedge,
        tries: it.tries,
        ms: it
            .took
            // The conversion fails only for durations of millions of years.
            .map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn error(fault: &Fault) -> ErrorBody<'_> {
    ErrorBody {
        code: fault.client_code(),
        message: &fault.message,
        retryable: fault.retryable,
    }
}

fn usage_body(usage: &Usage) -> UsageBody {
    UsageBody {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cached_input_tokens: usage.cached_input,
        cache_write_tokens: usage.cache_write,
        reasoning_tokens: usage.reasoning,
        total_tokens: usage.total(),
        estimated: usage.estimated,
    }
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("strings, numbers and lists are always JSON")
        .into()
}
