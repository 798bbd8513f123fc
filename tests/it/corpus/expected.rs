//! Compares an answer that a client received with the recording's independent fold.

use serde_json::Value;

use super::recording::Recording;
use crate::rig::received::{Choice, Usage};
use crate::rig::{Dialect, Received, WireId};

/// Returns every difference between `received` and the expected answer of the recording.
pub fn differences(recording: &Recording, dialect: Dialect, received: &Received) -> Vec<String> {
    let expected = &recording.expected;
    let mut found = Vec::new();
    if recording.fails() {
        let failed = received.is_failure();
        return (!failed)
            .then(|| format!("a failure was received as {received:?}"))
            .into_iter()
            .collect();
    }
    if !received.is_success() {
        found.push(format!(
            "a success was received as {:?}, done {}, ends {}",
            received.error, received.done, received.ends
        ));
    }
    let single = [expected.clone()];
    let choices = expected["choices"]
        .as_array()
        .map_or(&single[..], Vec::as_slice);
    // Some dialects have a single choice, and Messages has no refusal separate from the text.
    let message = dialect == Dialect::Messages;
    for (place, choice) in choices.iter().enumerate().take(if dialect.has_choices() {
        choices.len()
    } else {
        1
    }) {
        let choice = &if message {
            as_message(choice)
        } else {
            choice.clone()
        };
        let index = choice["index"].as_u64().unwrap_or(place as u64);
        let (objects, received) = (
            received.arguments_as_objects,
            received.choices.get(&index).cloned().unwrap_or_default(),
        );
        found.extend(choice_differences(
            recording.wire,
            expected,
            choice,
            &received,
            objects,
        ));
    }
    found.extend(usage_difference(recording.wire, expected, received.usage));
    found
}

/// Returns the expected status and code of a recording's failure when nothing has been sent yet, or
/// `None` if it does not fail. After content nothing is retried, so a failure counts as the
/// upstream's unless its error says otherwise.
pub fn failure(recording: &Recording, dialect: Dialect) -> Option<(u16, String)> {
    if !recording.fails() {
        return None;
    }
    let error = &recording.expected["error"];
    let own = error["code"]
        .as_str()
        .or(error["type"].as_str())
        .unwrap_or("");
    let status = error["status_code"].as_u64().or(error["code"].as_u64());
    let refusal = match (status, own) {
        (_, code @ ("insufficient_quota" | "context_length_exceeded" | "content_filter")) => (
            if code == "insufficient_quota" {
                429
            } else {
                400
            },
            code,
        ),
        (Some(429), _) | (_, "rate_limit_exceeded" | "rate_limit_error" | "RESOURCE_EXHAUSTED") => {
            (429, "rate_limited")
        }
        (Some(503 | 529), _) | (_, "overloaded_error" | "UNAVAILABLE" | "server_overloaded") => (
            if dialect == Dialect::Messages {
                529
            } else {
                503
            },
            "overloaded",
        ),
        (Some(status @ (400 | 422)), "") => (u16::try_from(status).unwrap(), "invalid_request"),
        (Some(status @ (400 | 422)), code) => (u16::try_from(status).unwrap(), code),
        _ => (502, "upstream_error"),
    };
    Some((refusal.0, refusal.1.to_owned()))
}

/// Returns the choice as Messages represents it: a refusal is text with a refusal finish reason.
fn as_message(choice: &Value) -> Value {
    let mut choice = choice.clone();
    let refusal = choice["refusal"].as_str().unwrap_or("").to_owned();
    if !refusal.is_empty() {
        choice["text"] = (choice["text"].as_str().unwrap_or("").to_owned() + &refusal).into();
        choice["refusal"] = "".into();
        choice["finish_reason"] = "refusal".into();
    }
    choice
}

fn choice_differences(
    wire: WireId,
    whole: &Value,
    expected: &Value,
    received: &Choice,
    objects: bool,
) -> Vec<String> {
    let mut found = Vec::new();
    let text = |field: &str| expected[field].as_str().unwrap_or_default();
    // The fold keeps Cohere's tool plan apart; the proxy reports it as reasoning.
    let reasoning = format!("{}{}", text("reasoning"), text("tool_plan"));
    for (field, expected, received) in [
        ("text", text("text"), &received.text),
        ("reasoning", &reasoning, &received.reasoning),
        ("refusal", text("refusal"), &received.refusal),
    ] {
        if expected != received {
            found.push(format!(
                "{field}: {expected:?} was received as {received:?}"
            ));
        }
    }
    let calls = expected["tool_calls"].as_array().unwrap();
    let same = calls.len() == received.tools.len()
        && calls
            .iter()
            .zip(received.tools.values())
            .all(|(expected, received)| {
                same_call(
                    whole["arguments_form"] == "canonical",
                    objects,
                    expected,
                    received,
                )
            });
    if !same {
        found.push(format!(
            "tool calls: {} was received as {:?}",
            expected["tool_calls"], received.tools
        ));
    }
    let reason = reason(wire, whole, expected, !received.tools.is_empty());
    if received.finish.as_deref() != Some(reason) {
        found.push(format!(
            "finish: {} ({reason}) was received as {:?}",
            expected["finish_reason"], received.finish
        ));
    }
    found
}

fn same_call(
    canonical: bool,
    objects: bool,
    expected: &Value,
    (id, name, arguments): &(String, String, String),
) -> bool {
    let same_id = expected["id"]
        .as_str()
        .filter(|it| !it.is_empty())
        .map_or(!id.is_empty(), |it| it == id);
    let wanted = expected["arguments"].as_str().unwrap();
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let nothing = |text: &str| matches!(text, "" | "null" | "{}");
    let same_arguments = match canonical {
        _ if objects && (nothing(wanted) || read(wanted).is_some()) => {
            nothing(wanted) && nothing(arguments) || read(wanted) == read(arguments)
        }
        true => {
            serde_json::from_str::<Value>(wanted).unwrap()
                == serde_json::from_str::<Value>(arguments).unwrap_or_default()
        }
        false => wanted == arguments,
    };
    same_id && same_arguments && expected["name"] == name.as_str()
}

/// Returns the normalized finish reason for a provider's own.
fn reason(wire: WireId, whole: &Value, expected: &Value, calls: bool) -> &'static str {
    let native = expected["finish_reason"]
        .as_str()
        .or(whole["block_reason"].as_str());
    match (wire, native) {
        (WireId::Gemini, Some("STOP" | "1")) | (WireId::Ollama, Some("stop")) if calls => {
            "tool_calls"
        }
        (WireId::Gemini, Some("RECITATION" | "SAFETY"))
        | (_, Some("content_filter" | "refusal" | "content_filtered" | "guardrail_intervened")) => {
            "content_filter"
        }
        (WireId::OpenaiResponses, Some("completed")) if calls => "tool_calls",
        (WireId::OpenaiResponses, Some("incomplete"))
            if whole["incomplete_reason"] == "content_filter" =>
        {
            "content_filter"
        }
        (
            _,
            Some(
                "length"
                | "max_tokens"
                | "MAX_TOKENS"
                | "incomplete"
                | "model_context_window_exceeded",
            ),
        ) => "length",
        (_, Some("tool_calls" | "function_call" | "tool_use" | "TOOL_CALL")) => "tool_calls",
        _ => "stop",
    }
}

/// Compares usage. Expected input includes cached tokens and output includes reasoning tokens, as
/// each provider defines them.
fn usage_difference(wire: WireId, expected: &Value, received: Option<Usage>) -> Option<String> {
    let number = |field: &str| expected["usage"][field].as_u64();
    let add = |a: Option<u64>, b: Option<u64>| a.map(|a| a + b.unwrap_or(0)).or(b);
    let (mut input, mut output, reasoning) =
        (number("input"), number("output"), number("reasoning"));
    let outside =
        number("total").is_some() && number("total") == add(add(input, output), reasoning);
    match wire {
        WireId::Anthropic | WireId::Bedrock => {
            input = add(add(input, number("cached")), number("cache_write"));
        }
        WireId::Gemini => {
            input = add(
                input,
                expected["usage_raw"]["toolUsePromptTokenCount"].as_u64(),
            );
            output = add(output, reasoning);
        }
        WireId::OpenaiChat if outside => output = add(output, reasoning),
        _ => {}
    }
    let received = received.unwrap_or_default();
    if (input, output) == (None, None) {
        return (!received.estimated)
            .then(|| format!("usage was not reported upstream, and received as {received:?}"));
    }
    let known = |received: Option<u64>, expected: Option<u64>| {
        expected.is_none_or(|it| received.unwrap_or(0) == it)
    };
    // If the provider reports only one of the two counts, the other is an estimate and marked as
    // such.
    let counted = |told_one: Option<u64>, expected: Option<u64>| {
        told_one == expected || expected.is_none() && received.estimated
    };
    let same = counted(received.input, input)
        && counted(received.output, output)
        && known(received.cached, number("cached"))
        && known(received.reasoning, reasoning);
    (!same).then(|| format!("usage: {} was received as {received:?}", expected["usage"]))
}
