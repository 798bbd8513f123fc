//! Encodes a journal as named events. Fields are written in the order of the documentation.

use std::collections::BTreeMap;

use bytes::BytesMut;

use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::own_members::put_cost;
use crate::dialect::{Encode, View, client_message};
use crate::model::event::{
    Citation, End, Event, Failure, Finish, Raw, Reason, Route, Signature, Start, ToolCall,
};
use crate::model::ids::StreamId;
use crate::model::usage::Usage;

/// Delay before an `EventSource` reconnects after a cut, milliseconds.
const RETRY_MS: u32 = 1000;

/// The encoder of one reader.
pub(super) struct Encoder {
    stream: StreamId,
    /// True if the request asked for several choices: each gets its `choice_end`.
    has_choices: bool,
    /// The choices that have begun; true once their `choice_end` has been written.
    ended: BTreeMap<u16, bool>,
}

impl Encoder {
    /// Creates the encoder for a reader.
    pub(super) fn new(view: &View) -> Self {
        Self {
            stream: view.start.stream.clone(),
            has_choices: view.start.head.choices > 1,
            ended: BTreeMap::new(),
        }
    }

    fn choice_end(
        &mut self,
        choice: u16,
        reason: Reason,
        native: Option<&str>,
        out: &mut SseWriter,
    ) {
        if !self.has_choices || self.ended.insert(choice, true) == Some(true) {
            return;
        }
        let mut event = Members::new(out.event("choice_end"));
        event.number("choice", choice.into());
        put_reason(&mut event, reason, native);
        event.end();
    }

    /// Writes the `end`, after a `choice_end` for every choice that has begun and not ended.
    fn end(&mut self, end: &End, out: &mut SseWriter) {
        let open: Vec<u16> = self
            .ended
            .iter()
            .filter(|(_, ended)| !**ended)
            .map(|(choice, _)| *choice)
            .collect();
        for choice in open {
            // The native reason at the end is that of the first choice.
            let native = end.native.as_deref().filter(|_| choice == 0);
            self.choice_end(choice, end.reason, native, out);
        }
        let mut event = Members::new(out.event("end"));
        put_reason(&mut event, end.reason, end.native.as_deref());
        match &end.usage {
            Some(usage) => put_usage(event.value("usage"), usage),
            None => event.null("usage"),
        }
        event.end();
    }
}

impl Encode for Encoder {
    fn write_event(&mut self, event: &Event, out: &mut SseWriter) {
        if self.has_choices && event.is_content() {
            // A choice begins with its first content; one without content needs no `choice_end`.
            self.ended.entry(event.choice()).or_insert(false);
        }
        match event {
            Event::Start(it) => start(it, out),
            Event::Route(it) => route(it, out),
            Event::Text { choice, delta } => delta_event("text", *choice, delta, out),
            Event::Reasoning { choice, delta } => delta_event("reasoning", *choice, delta, out),
            Event::Refusal { choice, delta } => delta_event("refusal", *choice, delta, out),
            Event::Signature(it) => signature(it, out),
            Event::ToolCall(it) => tool_call(it, out),
            Event::ToolArguments {
                choice,
                index,
                delta,
            } => tool_arguments(*choice, *index, delta, out),
            Event::ToolCallEnd { choice, index } => tool_call_end(*choice, *index, out),
            Event::Citation(it) => citation(it, out),
            Event::Raw(it) => raw(it, out),
            Event::Finish(it) => self.finish(it, out),
            Event::Usage(it) => put_usage(out.event("usage"), it),
            Event::Error(it) => self.error(it, out),
            Event::End(it) => self.end(it, out),
        }
    }
}

impl Encoder {
    fn finish(&mut self, finish: &Finish, out: &mut SseWriter) {
        self.choice_end(finish.choice, finish.reason, finish.native.as_deref(), out);
    }

    /// Writes an error.
    fn error(&self, failure: &Failure, out: &mut SseWriter) {
        let fault = &failure.fault;
        let mut event = Members::new(out.event("error"));
        event.text("code", fault.client_code());
        let message = client_message(fault, format_args!("stream {}", self.stream));
        event.text("message", &message);
        event.flag("retryable", fault.retryable);
        event.text_if_some("limit", fault.limit);
        event.end();
    }
}

fn start(start: &Start, out: &mut SseWriter) {
    // Once per stream: browsers keep the value.
    let mut event = Members::new(out.event_with_retry("start", RETRY_MS));
    event.text("stream", start.stream.as_str());
    event.text("model", &start.head.model);
    event.number("created", start.created);
    event.end();
}

fn route(route: &Route, out: &mut SseWriter) {
    let mut event = Members::new(out.event("route"));
    event.text("provider", &route.provider);
    event.text("model", &route.model);
    event.end();
}

fn delta_event(name: &str, choice: u16, delta: &str, out: &mut SseWriter) {
    let mut event = Members::new(out.event(name));
    event.text("delta", delta);
    end_content(event, choice);
}

fn signature(signature: &Signature, out: &mut SseWriter) {
    let mut event = Members::new(out.event("reasoning"));
    event.text_if_some("signature", signature.signature.as_deref());
    event.text_if_some("redacted", signature.redacted.as_deref());
    if signature.on_text {
        event.flag("on_text", true);
    }
    end_content(event, signature.choice);
}

fn tool_call(call: &ToolCall, out: &mut SseWriter) {
    let mut event = Members::new(out.event("tool_call"));
    event.number("index", call.index.into());
    event.text("id", &call.id);
    event.text("name", &call.name);
    event.text_if_some("signature", call.signature.as_deref());
    if call.custom {
        event.flag("custom", true);
    }
    end_content(event, call.choice);
}

fn tool_arguments(choice: u16, index: u16, delta: &str, out: &mut SseWriter) {
    let mut event = Members::new(out.event("tool_arguments"));
    event.number("index", index.into());
    event.text("delta", delta);
    end_content(event, choice);
}

fn tool_call_end(choice: u16, index: u16, out: &mut SseWriter) {
    let mut event = Members::new(out.event("tool_call_end"));
    event.number("index", index.into());
    end_content(event, choice);
}

fn citation(citation: &Citation, out: &mut SseWriter) {
    let mut event = Members::new(out.event("citation"));
    event.text_or_null("url", citation.url.as_deref());
    event.text_or_null("title", citation.title.as_deref());
    event.text_or_null("quote", citation.quote.as_deref());
    let start = citation.span.map(|(start, _)| start.into());
    event.number_or_null("start", start);
    event.number_or_null("end", citation.span.map(|(_, end)| end.into()));
    event.json("data", &citation.data);
    end_content(event, citation.choice);
}

fn raw(raw: &Raw, out: &mut SseWriter) {
    let mut event = Members::new(out.event("raw"));
    event.text("wire", raw.wire.name());
    event.json("data", &raw.data);
    end_content(event, raw.choice);
}

fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    let mut event = Members::new(buf);
    event.number_or_null("input_tokens", usage.input);
    event.number_or_null("output_tokens", usage.output);
    event.number_or_null("cached_input_tokens", usage.cached_input);
    event.number_or_null("cache_write_tokens", usage.cache_write);
    event.number_or_null("reasoning_tokens", usage.reasoning);
    event.number_or_null("total_tokens", usage.total());
    event.flag("estimated", usage.estimated);
    put_cost(&mut event, usage.cost);
    event.end();
}

fn put_reason(event: &mut Members<'_>, reason: Reason, native: Option<&str>) {
    event.text("reason", reason.name());
    event.text_or_null("native_reason", native);
}

/// Ends a content event. The choice is written unless it is the first.
fn end_content(mut event: Members<'_>, choice: u16) {
    if choice != 0 {
        event.number("choice", choice.into());
    }
    event.end();
}
