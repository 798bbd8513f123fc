//! What a recording's independent fold says, in the proxy's words, beside what a client was told.

use serde_json::Value;

use super::recording::Recording;
use crate::rig::told::{Choice, Usage};
use crate::rig::{Speech, Told, WireId};

/// Everything in which `told` is not what the recording says.
pub fn differences(recording: &Recording, speech: Speech, told: &Told) -> Vec<String> {
    let expected = &recording.expected;
    let mut found = Vec::new();
    if recording.fails() {
        let failed = told.is_failure();
        return (!failed)
            .then(|| format!("a failure was told as {told:?}"))
            .into_iter()
            .collect();
    }
    if !told.is_success() {
        found.push(format!(
            "a success was told as {:?}, done {}, ends {}",
            told.error, told.done, told.ends
        ));
    }
    let single = [expected.clone()];
    let choices = expected["choices"]
        .as_array()
        .map_or(&single[..], Vec::as_slice);
    // Some dialects have one choice, and a message no refusal apart from its text.
    let message = speech == Speech::Messages;
    for (place, choice) in choices.iter().enumerate().take(if speech.has_choices() {
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
        let (objects, told) = (
            told.objects,
            told.choices.get(&index).cloned().unwrap_or_default(),
        );
        found.extend(choice_differences(
            recording.wire,
            expected,
            choice,
            &told,
            objects,
        ));
    }
    found.extend(usage_difference(recording.wire, expected, told.usage));
    found
}

/// The status and the code with which a recording's failure is told where nothing has been sent
/// yet; `None` where it does not fail. Behind content nothing is asked again, so whatever it was is
/// the upstream's, unless it says otherwise itself.
pub fn failure(recording: &Recording, speech: Speech) -> Option<(u16, String)> {
    if !recording.fails() {
        return None;
    }
    let error = &recording.expected["error"];
    let own = error["code"]
        .as_str()
        .or(error["type"].as_str())
        .unwrap_or("");
    let status = error["status_code"].as_u64().or(error["code"].as_u64());
    let told = match (status, own) {
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
            if speech == Speech::Messages { 529 } else { 503 },
            "overloaded",
        ),
        (Some(status @ (400 | 422)), "") => (u16::try_from(status).unwrap(), "invalid_request"),
        (Some(status @ (400 | 422)), code) => (u16::try_from(status).unwrap(), code),
        _ => (502, "upstream_error"),
    };
    Some((told.0, told.1.to_owned()))
}

/// A choice in which a refusal is text that ends as one.
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
    told: &Choice,
    objects: bool,
) -> Vec<String> {
    let mut found = Vec::new();
    let said = |field: &str| expected[field].as_str().unwrap_or_default();
    // The fold keeps the words before tool calls apart; here they are reasoning like any other.
    let reasoning = format!("{}{}", said("reasoning"), said("tool_plan"));
    for (field, expected, told) in [
        ("text", said("text"), &told.text),
        ("reasoning", &reasoning, &told.reasoning),
        ("refusal", said("refusal"), &told.refusal),
    ] {
        if expected != told {
            found.push(format!("{field}: {expected:?} was told as {told:?}"));
        }
    }
    let calls = expected["tool_calls"].as_array().unwrap();
    let same = calls.len() == told.tools.len()
        && calls
            .iter()
            .zip(told.tools.values())
            .all(|(expected, told)| {
                same_call(
                    whole["arguments_form"] == "canonical",
                    objects,
                    expected,
                    told,
                )
            });
    if !same {
        found.push(format!(
            "tool calls: {} was told as {:?}",
            expected["tool_calls"], told.tools
        ));
    }
    let reason = reason(wire, whole, expected, !told.tools.is_empty());
    if told.finish.as_deref() != Some(reason) {
        found.push(format!(
            "finish: {} ({reason}) was told as {:?}",
            expected["finish_reason"], told.finish
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

/// The normalized word for a provider's own.
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

/// Input with its cached parts, output with its reasoning, as every provider means it when it is
/// asked closely.
fn usage_difference(wire: WireId, expected: &Value, told: Option<Usage>) -> Option<String> {
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
    let told = told.unwrap_or_default();
    if (input, output) == (None, None) {
        return (!told.estimated).then(|| format!("usage was never said, and told as {told:?}"));
    }
    let known = |told: Option<u64>, expected: Option<u64>| {
        expected.is_none_or(|it| told.unwrap_or(0) == it)
    };
    // Of two counts one may never be said: then it is an estimate, and says so.
    let counted = |told_one: Option<u64>, expected: Option<u64>| {
        told_one == expected || expected.is_none() && told.estimated
    };
    let same = counted(told.input, input)
        && counted(told.output, output)
        && known(told.cached, number("cached"))
        && known(told.reasoning, reasoning);
    (!same).then(|| format!("usage: {} was told as {told:?}", expected["usage"]))
}
