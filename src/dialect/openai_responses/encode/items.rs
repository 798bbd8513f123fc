//! The items of an output: at most one open message or reasoning at a time, and any number of open
//! calls beside it.
//!
//! Invariants: the place of an item is its index in the order in which the items begin; the JSON of
//! its `done` event is kept, and repeated unchanged in the terminal event.

mod calls;
mod message;
mod reasoning;

use bytes::{Bytes, BytesMut};

use self::calls::Call;
use self::message::Message;
use self::reasoning::Reasoning;
use super::super::pieces::{put_event, put_id, put_list};
use crate::codec::json::put_json;
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::model::event::{Event, Raw};
use crate::model::ids::StreamId;
use crate::model::wire::WireId;

/// The items of one response.
pub(super) struct Items {
    stream: StreamId,
    /// The wire of the target that answers.
    pub(super) wire: WireId,
    /// The number of the next event.
    pub(super) next: u64,
    /// True if entries before the position of this reader were evicted, so that numbers and text
    /// before it are unknown.
    pub(super) evicted: bool,
    /// True once an event was dropped that needed them.
    pub(super) failed: bool,
    /// Ended items (JSON) by their place; `None` while an item is open.
    ended: Vec<Option<Bytes>>,
    message: Option<Message>,
    reasoning: Option<Reasoning>,
    calls: Vec<Call>,
    /// Number of characters of text so far: citations of other wires count from the first one.
    characters: u32,
}

impl Items {
    pub(super) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            wire: WireId::Gemini,
            next: 0,
            evicted: false,
            failed: false,
            ended: Vec::new(),
            message: None,
            reasoning: None,
            calls: Vec::new(),
            characters: 0,
        }
    }

    /// Returns true if the next event would reach the reader but lacks a number or text that was
    /// evicted.
    pub(super) fn lacks_evicted_text(&self, out: &SseWriter) -> bool {
        self.evicted && out.reaches_reader()
    }

    /// Returns all items as a JSON array, open items in their current state.
    pub(super) fn output(&self) -> Bytes {
        let mut buf = BytesMut::new();
        let open = |place: usize| {
            self.open_item(place)
                // Every place that has not ended is open, so this is never used; encoders cannot
                // fail.
                .unwrap_or_else(|| Bytes::from_static(b"null"))
        };
        let items: Vec<Bytes> = (0..)
            .zip(&self.ended)
            .map(|(at, item)| item.clone().unwrap_or_else(|| open(at)))
            .collect();
        put_list(&mut buf, items.iter().map(|item| &**item));
        buf.freeze()
    }

    fn open_item(&self, place: usize) -> Option<Bytes> {
        let status = "in_progress";
        if let Some(message) = self.message.as_ref().filter(|it| it.place == place) {
            return Some(message.json(&self.stream, status));
        }
        if let Some(reasoning) = self.reasoning.as_ref().filter(|it| it.place == place) {
            return Some(reasoning.json(&self.stream, None));
        }
        self.calls
            .iter()
            .find(|call| call.place == place)
            .map(|call| call.json(&self.stream, status))
    }

    /// Writes the events of one content event.
    pub(super) fn write(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            Event::Text { delta, .. } => self.text_delta(false, delta, out),
            Event::Refusal { delta, .. } => self.text_delta(true, delta, out),
            Event::Reasoning { delta, .. } => self.reasoning_delta(delta, out),
            Event::Signature(it) => self.signature(it, out),
            Event::ToolCall(call) => self.call(call, out),
            Event::ToolArguments { index, delta, .. } => self.arguments_delta(*index, delta, out),
            Event::ToolCallEnd { index, .. } => self.end_call(*index, out),
            Event::Citation(it) => self.citation(it, out),
            Event::Raw(it) if self.is_item(it) => {
                self.close_message_and_reasoning(true, out);
                let mut item = BytesMut::with_capacity(it.data.len());
                put_json(&mut item, &it.data);
                self.whole_item(item.freeze(), out);
            }
            // The API has no item for other raw content.
            Event::Raw(_) => {}
            Event::Start(_)
            | Event::Route(_)
            | Event::Finish(_)
            | Event::Usage(_)
            | Event::Error(_)
            | Event::End(_) => {}
        }
    }

    /// Closes all open items, with the status `completed` or `incomplete`.
    pub(super) fn close(&mut self, complete: bool, out: &mut SseWriter) {
        self.close_message_and_reasoning(complete, out);
        for call in std::mem::take(&mut self.calls) {
            self.finish_call(&call, complete, out);
        }
    }

    /// Returns true if the raw content is an item that a provider on this API's own wire has run
    /// (for example a web search).
    fn is_item(&self, raw: &Raw) -> bool {
        #[derive(serde::Deserialize)]
        struct Tagged<'a> {
            #[serde(borrow, rename = "type")]
            kind: std::borrow::Cow<'a, str>,
        }
        let tagged = || serde_json::from_str::<Tagged<'_>>(&raw.data);
        raw.wire == WireId::OpenaiResponses
            && tagged().is_ok_and(|it| !it.kind.is_empty() && !it.kind.starts_with("response."))
    }

    fn event(&mut self, out: &mut SseWriter, name: &str, members: impl FnOnce(&mut Members<'_>)) {
        if self.lacks_evicted_text(out) {
            self.failed = true;
            return;
        }
        put_event(out, &mut self.next, name, members);
    }

    /// Writes an event about an item, with its id and place first.
    fn item_event(
        &mut self,
        out: &mut SseWriter,
        name: &str,
        (kind, place): (&str, usize),
        members: impl FnOnce(&mut Members<'_>),
    ) {
        let stream = self.stream.clone();
        self.event(out, name, |event| {
            put_id(event.value("item_id"), kind, &stream, place);
            event.number("output_index", place as u64);
            members(event);
        });
    }

    fn begin(
        &mut self,
        item: impl FnOnce(&StreamId, usize) -> Bytes,
        out: &mut SseWriter,
    ) -> usize {
        let place = self.ended.len();
        // Reserves the place: calls may end in another order than they began.
        self.ended.push(None);
        let item = item(&self.stream, place);
        self.put_item(out, "response.output_item.added", place, &item);
        place
    }

    fn end(&mut self, place: usize, item: Bytes, out: &mut SseWriter) {
        self.put_item(out, "response.output_item.done", place, &item);
        if let Some(ended) = self.ended.get_mut(place) {
            *ended = Some(item);
        }
    }

    fn put_item(&mut self, out: &mut SseWriter, name: &str, place: usize, item: &Bytes) {
        self.event(out, name, |event| {
            event.number("output_index", place as u64);
            event.written("item", item);
        });
    }

    /// Writes an item that arrives complete.
    fn whole_item(&mut self, item: Bytes, out: &mut SseWriter) {
        let begun = item.clone();
        let place = self.begin(|_, _| begun, out);
        self.end(place, item, out);
    }
}

/// Returns the status of an ended item.
const fn status_name(complete: bool) -> &'static str {
    if complete { "completed" } else { "incomplete" }
}
