//! Encodes a `chat.completion`: the whole answer of a non-streaming request over another wire.

use bytes::{Bytes, BytesMut};

use super::pieces::{Call, finish_reason, put_annotation, put_call, put_head, put_usage};
use super::reasoning::Blocks;
use crate::codec::members::Members;
use crate::dialect::View;
use crate::dialect::own_members::put_sluicegate;
use crate::model::event::{Citation, Reason};
use crate::model::fold::{Answer, Choice, Part};

/// Returns the answer as JSON, completed or cancelled.
pub(super) fn body(view: &View, answer: &Answer) -> Bytes {
    let mut buf = BytesMut::with_capacity(1024);
    let mut body = Members::new(&mut buf);
    let start = &view.start;
    let id = format!("chatcmpl-{}", start.stream);
    put_head(
        &mut body,
        &id,
        "chat.completion",
        start.created,
        &start.head.model,
    );
    let end = answer.reason().unwrap_or(Reason::Stop);
    let no_choice = [Choice::default()];
    // A `chat.completion` has at least one choice, even if nothing was generated.
    let all = if answer.choices.is_empty() {
        &no_choice[..]
    } else {
        &answer.choices
    };
    let mut choices = body.array("choices");
    for (number, choice) in all.iter().enumerate() {
        put_choice(choices.object(), number, choice, end);
    }
    choices.end();
    let usage = answer.last_usage();
    if let Some(usage) = &usage {
        put_usage(body.value("usage"), usage);
    }
    let cancelled = (end == Reason::Cancelled).then_some("cancelled");
    let is_estimated = usage.is_some_and(|usage| usage.estimated);
    put_sluicegate(&mut body, cancelled, is_estimated);
    body.end();
    buf.freeze()
}

fn put_choice(mut object: Members<'_>, number: usize, choice: &Choice, end: Reason) {
    object.number("index", number as u64);
    let mut message = object.object("message");
    message.word("role", "assistant");
    // Without text the member is null, as with OpenAI.
    message.text_or_null("content", non_empty(&choice.text()));
    message.text_or_null("refusal", non_empty(&choice.refusal()));
    message.text_if_some("reasoning_content", non_empty(&choice.reasoning()));
    put_signatures(&mut message, choice);
    put_calls(&mut message, choice);
    put_citations(&mut message, choice);
    message.end();
    object.null("logprobs");
    let reason = choice.finish.as_ref().map_or(end, |finish| finish.reason);
    object.word("finish_reason", finish_reason(reason).unwrap_or("stop"));
    object.end();
}

fn non_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn put_signatures(message: &mut Members<'_>, choice: &Choice) {
    let is_signature = |part: &Part| matches!(part, Part::Signature(_));
    if !choice.parts.iter().any(is_signature) {
        return;
    }
    let mut blocks = Blocks::default();
    let mut list = message.array("reasoning_details");
    for part in &choice.parts {
        match part {
            Part::Text(text) => blocks.text(text.len()),
            Part::Reasoning(text) => blocks.reasoning(text.len()),
            Part::Signature(signature) => blocks.put_item(list.element(), signature),
            // The same events end a block in the stream, so both give the same ranges.
            Part::ToolCall { .. } | Part::Refusal(_) => blocks.other(),
            Part::Citation(_) | Part::Raw(_) => {}
        }
    }
    list.end();
}

fn put_calls(message: &mut Members<'_>, choice: &Choice) {
    let mut calls = choice.parts.iter().filter_map(call).peekable();
    if calls.peek().is_none() {
        return;
    }
    let mut list = message.array("tool_calls");
    calls.for_each(|call| put_call(list.element(), &call));
    list.end();
}

fn call(part: &Part) -> Option<Call<'_>> {
    match part {
        Part::ToolCall {
            id,
            name,
            arguments,
            signature,
            custom,
            ..
        } => Some(Call {
            index: None,
            id,
            name,
            arguments,
            signature: signature.as_ref(),
            custom: *custom,
        }),
        _ => None,
    }
}

fn put_citations(message: &mut Members<'_>, choice: &Choice) {
    let mut citations = choice.parts.iter().filter_map(citation).peekable();
    if citations.peek().is_none() {
        return;
    }
    let mut list = message.array("annotations");
    citations.for_each(|(citation, url)| put_annotation(list.element(), citation, url, None));
    list.end();
}

/// Returns a citation with its URL. The API defines no citation without one.
fn citation(part: &Part) -> Option<(&Citation, &str)> {
    match part {
        Part::Citation(citation) => Some((citation, citation.url.as_deref()?)),
        _ => None,
    }
}
