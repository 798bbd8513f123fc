//! Encodes a journal as named events. Fields are written in the order of the documentation.

use std::collections::BTreeMap;

use bytes::{BufMut as _, BytesMut};

use crate::codec::json::{put_json, put_opt_str, put_opt_u64, put_str, put_u64};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::cost::put_cost;
use crate::dialect::{Encode, View};
use crate::model::event::{
    Citation, End, Event, Failure, Finish, Raw, Reason, Route, Signature, Start, ToolCall,
};
use crate::model::fault::Code;
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
        put_u64(event.value("choice"), choice.into());
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
            None => event.value("usage").put_slice(b"null"),
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

    /// Writes an error. For an internal error, the message contains only the stream.
    fn error(&self, failure: &Failure, out: &mut SseWriter) {
        let fault = &failure.fault;
        let mut event = Members::new(out.event("error"));
        put_str(event.value("code"), fault.client_code());
        match fault.code {
            Code::InternalError => put_str(
                event.value("message"),
                &format!("internal error in stream {}", self.stream),
            ),
            _ => put_str(event.value("message"), &fault.message),
        }
        event
            .value("retryable")
            .put_slice(json_bool(fault.retryable));
        if let Some(limit) = fault.limit {
            put_str(event.value("limit"), limit);
        }
        event.end();
    }
}

fn start(start: &Start, out: &mut SseWriter) {
    // Once per stream: browsers keep the value.
    let mut event = Members::new(out.event_with_retry("start", RETRY_MS));
    put_str(event.value("stream"), start.stream.as_str());
    put_str(event.value("model"), &start.head.model);
    put_u64(event.value("created"), start.created);
    event.end();
}

fn route(route: &Route, out: &mut SseWriter) {
    let mut event = Members::new(out.event("route"));
    put_str(event.value("provider"), &route.provider);
    put_str(event.value("model"), &route.model);
    event.end();
}

fn delta_event(name: &str, choice: u16, delta: &str, out: &mut SseWriter) {
    let mut event = Members::new(out.event(name));
    put_str(event.value("delta"), delta);
    end_content(event, choice);
}

fn signature(signature: &Signature, out: &mut SseWriter) {
    let mut event = Members::new(out.event("reasoning"));
    for (name, value) in [
        ("signature", &signature.signature),
        ("redacted", &signature.redacted),
    ] {
        if let Some(value) = value {
            put_str(event.value(name), value);
        }
    }
    if signature.on_text {
        event.value("on_text").put_slice(json_bool(true));
    }
    end_content(event, signature.choice);
}

fn tool_call(call: &ToolCall, out: &mut SseWriter) {
    let mut event = Members::new(out.event("tool_call"));
    put_u64(event.value("index"), call.index.into());
    put_str(event.value("id"), &call.id);
    put_str(event.value("name"), &call.name);
    if let Some(signature) = &call.signature {
        put_str(event.value("signature"), signature);
    }
    if call.custom {
        event.value("custom").put_slice(json_bool(true));
    }
    end_content(event, call.choice);
}

fn tool_arguments(choice: u16, index: u16, delta: &str, out: &mut SseWriter) {
    let mut event = Members::new(out.event("tool_arguments"));
    put_u64(event.value("index"), index.into());
    put_str(event.value("delta"), delta);
    end_content(event, choice);
}

fn tool_call_end(choice: u16, index: u16, out: &mut SseWriter) {
    let mut event = Members::new(out.event("tool_call_end"));
    put_u64(event.value("index"), index.into());
    end_content(event, choice);
}

fn citation(citation: &Citation, out: &mut SseWriter) {
    let mut event = Members::new(out.event("citation"));
    put_opt_str(event.value("url"), citation.url.as_deref());
    put_opt_str(event.value("title"), citation.title.as_deref());
    put_opt_str(event.value("quote"), citation.quote.as_deref());
    put_opt_u64(
        event.value("start"),
        citation.span.map(|(start, _)| start.into()),
    );
    put_opt_u64(event.value("end"), citation.span.map(|(_, end)| end.into()));
    put_json(event.value("data"), &citation.data);
    end_content(event, citation.choice);
}

fn raw(raw: &Raw, out: &mut SseWriter) {
    let mut event = Members::new(out.event("raw"));
    put_str(event.value("wire"), raw.wire.name());
    put_json(event.value("data"), &raw.data);
    end_content(event, raw.choice);
}

fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    let mut event = Members::new(buf);
    put_opt_u64(event.value("input_tokens"), usage.input);
    put_opt_u64(event.value("output_tokens"), usage.output);
    put_opt_u64(event.value("cached_input_tokens"), usage.cached_input);
    put_opt_u64(event.value("cache_write_tokens"), usage.cache_write);
    put_opt_u64(event.value("reasoning_tokens"), usage.reasoning);
    put_opt_u64(event.value("total_tokens"), usage.total());
    event
        .value("estimated")
        .put_slice(json_bool(usage.estimated));
    put_cost(event.value("cost"), usage.cost);
    event.end();
}

fn put_reason(event: &mut Members<'_>, reason: Reason, native: Option<&str>) {
    put_str(event.value("reason"), reason.name());
    put_opt_str(event.value("native_reason"), native);
}

const fn json_bool(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}

/// Ends a content event. The choice is written unless it is the first.
fn end_content(mut event: Members<'_>, choice: u16) {
    if choice != 0 {
        event.number("choice", choice.into());
    }
    event.end();
}
