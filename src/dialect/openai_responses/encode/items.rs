//! The items of an output: one message or one reasoning at a time, any number of calls beside it.
//!
//! Invariants: an item's place is that of its beginning; what its end tells is kept and repeated as
//! it was told.

mod calls;
mod message;
mod reasoning;

use bytes::{BufMut as _, Bytes, BytesMut};

use self::calls::Call;
use self::message::Message;
use self::reasoning::Reasoning;
use super::super::pieces::{put_id, put_list, put_name};
use super::put_event;
use crate::codec::json::{put_json, put_u64};
use crate::codec::sse_writer::SseWriter;
use crate::model::event::{Event, Raw};
use crate::model::ids::StreamId;
use crate::model::wire::WireId;

/// The items of one response.
pub(super) struct Items {
    stream: StreamId,
    /// The wire that says them.
    pub(super) wire: WireId,
    /// The number of the next event.
    pub(super) next: u64,
    /// What came before a reader's place was let go: neither numbers nor words are known.
    pub(super) lost: bool,
    /// A reader would have been told such.
    pub(super) failed: bool,
    /// Those that have ended, by their place; nothing for those that are open.
    ended: Vec<Option<Bytes>>,
    message: Option<Message>,
    reasoning: Option<Reasoning>,
    calls: Vec<Call>,
    /// Characters of text so far: citations of other wires count from the first.
    characters: u32,
}

impl Items {
    pub(super) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            wire: WireId::Gemini,
            next: 0,
            lost: false,
            failed: false,
            ended: Vec::new(),
            message: None,
            reasoning: None,
            calls: Vec::new(),
            characters: 0,
        }
    }

    /// True where what this reader is told next would lack words that were let go.
    pub(super) fn is_short(&self, out: &SseWriter) -> bool {
        self.lost && out.is_heard()
    }

    /// All items as a JSON array, those that are open as they are.
    pub(super) fn output(&self) -> Bytes {
        let mut buf = BytesMut::new();
        let open = |place: usize| {
            self.open_item(place)
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

    /// Takes in one piece of content.
    pub(super) fn take(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            Event::Text { delta, .. } => self.words(false, delta, out),
            Event::Refusal { delta, .. } => self.words(true, delta, out),
            Event::Reasoning { delta, .. } => self.thought(delta, out),
            Event::Signature(it) => self.signature(it, out),
            Event::ToolCall(call) => self.call(call, out),
            Event::ToolArguments { index, delta, .. } => self.argue(*index, delta, out),
            Event::ToolCallEnd { index, .. } => self.end_call(*index, out),
            Event::Citation(it) => self.cite(it, out),
            Event::Raw(it) if self.is_item(it) => {
                self.close_spoken(true, out);
                let mut item = BytesMut::with_capacity(it.data.len());
                put_json(&mut item, &it.data);
                self.whole(item.freeze(), out);
            }
            // What this API has no place for, here.
            Event::Raw(_) => {}
            Event::Start(_)
            | Event::Route(_)
            | Event::Finish(_)
            | Event::Usage(_)
            | Event::Error(_)
            | Event::End(_) => {}
        }
    }

    /// Nothing is open. Items that are not complete say so.
    pub(super) fn close(&mut self, complete: bool, out: &mut SseWriter) {
        self.close_spoken(complete, out);
        for call in std::mem::take(&mut self.calls) {
            self.finish_call(&call, complete, out);
        }
    }

    /// An item that a provider of this API's own wire ran.
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

    fn event(&mut self, out: &mut SseWriter, name: &str, rest: impl FnOnce(&mut BytesMut)) {
        if self.is_short(out) {
            self.failed = true;
            return;
        }
        put_event(out, &mut self.next, name, rest);
    }

    /// An event about an item: its id and place first.
    fn item_event(
        &mut self,
        out: &mut SseWriter,
        name: &str,
        (kind, place): (&str, usize),
        rest: impl FnOnce(&mut BytesMut),
    ) {
        let stream = self.stream.clone();
        self.event(out, name, |buf| {
            put_name(buf, "item_id");
            put_id(buf, kind, &stream, place);
            put_name(buf, "output_index");
            put_u64(buf, place as u64);
            rest(buf);
        });
    }

    fn begin(
        &mut self,
        item: impl FnOnce(&StreamId, usize) -> Bytes,
        out: &mut SseWriter,
    ) -> usize {
        let place = self.ended.len();
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
        self.event(out, name, |buf| {
            put_name(buf, "output_index");
            put_u64(buf, place as u64);
            put_name(buf, "item");
            buf.put_slice(item);
        });
    }

    /// An item that comes whole.
    fn whole(&mut self, item: Bytes, out: &mut SseWriter) {
        let begun = item.clone();
        let place = self.begin(|_, _| begun, out);
        self.end(place, item, out);
    }
}

/// How an item ended.
const fn word(complete: bool) -> &'static str {
    if complete { "completed" } else { "incomplete" }
}
