//! Encodes a `chat.completion`: the whole answer of a non-streaming request over another wire.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::pieces::{
    self, Call, finish_reason, put_annotation, put_call, put_sluicegate, put_usage,
};
use super::reasoning::Blocks;
use crate::codec::json::{put_opt_str, put_str, put_u64};
use crate::dialect::View;
use crate::model::event::Reason;
use crate::model::fold::{Answer, Choice, Part};

/// Returns the answer as JSON, completed or cancelled.
pub(super) fn body(view: &View, answer: &Answer) -> Bytes {
    let mut buf = BytesMut::with_capacity(1024);
    let id = format!("chatcmpl-{}", view.start.stream);
    pieces::put_head(
        &mut buf,
        &id,
        "chat.completion",
        view.start.created,
        &view.start.head.model,
    );
    let end = answer.reason().unwrap_or(Reason::Stop);
    let no_choice = [Choice::default()];
    // A `chat.completion` has at least one choice, even if nothing was generated.
    let choices = if answer.choices.is_empty() {
        &no_choice[..]
    } else {
        &answer.choices
    };
    for (number, choice) in choices.iter().enumerate() {
        if number > 0 {
            buf.put_u8(b',');
        }
        put_choice(&mut buf, number, choice, end);
    }
    buf.put_u8(b']');
    let usage = answer
        .usage
        .or(answer.end.as_ref().and_then(|end| end.usage));
    if let Some(usage) = &usage {
        buf.put_slice(b",\"usage\":");
        put_usage(&mut buf, usage);
    }
    let cancelled = (end == Reason::Cancelled).then_some("cancelled");
    put_sluicegate(
        &mut buf,
        cancelled,
        usage.is_some_and(|usage| usage.estimated),
    );
    buf.put_u8(b'}');
    buf.freeze()
}

fn put_choice(buf: &mut BytesMut, number: usize, choice: &Choice, end: Reason) {
    buf.put_slice(b"{\"index\":");
    put_u64(buf, number as u64);
    buf.put_slice(b",\"message\":{\"role\":\"assistant\",\"content\":");
    // Without text the member is null, as with OpenAI.
    put_opt_str(buf, non_empty(&choice.text()));
    buf.put_slice(b",\"refusal\":");
    put_opt_str(buf, non_empty(&choice.refusal()));
    if let Some(reasoning) = non_empty(&choice.reasoning()) {
        buf.put_slice(b",\"reasoning_content\":");
        put_str(buf, reasoning);
    }
    put_signatures(buf, choice);
    put_calls(buf, choice);
    put_citations(buf, choice);
    buf.put_slice(b"},\"logprobs\":null,\"finish_reason\":");
    let reason = choice.finish.as_ref().map_or(end, |finish| finish.reason);
    put_str(buf, finish_reason(reason).unwrap_or("stop"));
    buf.put_u8(b'}');
}

fn non_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn put_signatures(buf: &mut BytesMut, choice: &Choice) {
    let mut blocks = Blocks::default();
    let mut list = List::new(b",\"reasoning_details\":[");
    for part in &choice.parts {
        match part {
            Part::Text(text) => blocks.text(text.len()),
            Part::Reasoning(text) => blocks.reasoning(text.len()),
            Part::Signature(signature) => {
                list.next(buf);
                blocks.put_item(buf, signature);
            }
            // The same events end a block in the stream, so both give the same ranges.
            Part::ToolCall { .. } | Part::Refusal(_) => blocks.other(),
            Part::Citation(_) | Part::Raw(_) => {}
        }
    }
    list.end(buf);
}

fn put_calls(buf: &mut BytesMut, choice: &Choice) {
    let mut list = List::new(b",\"tool_calls\":[");
    for part in &choice.parts {
        if let Part::ToolCall {
            id,
            name,
            arguments,
            signature,
            custom,
            ..
        } = part
        {
            list.next(buf);
            put_call(
                buf,
                &Call {
                    index: None,
                    id,
                    name,
                    arguments,
                    signature: signature.as_ref(),
                    custom: *custom,
                },
            );
        }
    }
    list.end(buf);
}

fn put_citations(buf: &mut BytesMut, choice: &Choice) {
    let mut list = List::new(b",\"annotations\":[");
    for part in &choice.parts {
        if let Part::Citation(citation) = part
            && let Some(url) = citation.url.as_deref()
        {
            list.next(buf);
            put_annotation(buf, citation, url, None);
        }
    }
    list.end(buf);
}

/// A JSON list that is written only if it has elements.
struct List {
    opening: &'static [u8],
    begun: bool,
}

impl List {
    const fn new(opening: &'static [u8]) -> Self {
        Self {
            opening,
            begun: false,
        }
    }

    /// Writes the opening of the list, or the comma before the next element.
    fn next(&mut self, buf: &mut BytesMut) {
        buf.put_slice(if self.begun { b"," } else { self.opening });
        self.begun = true;
    }

    fn end(&self, buf: &mut BytesMut) {
        if self.begun {
            buf.put_u8(b']');
        }
    }
}
