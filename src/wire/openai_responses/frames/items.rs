//! Converts the items of an output to events, whether they are streamed or arrive whole.
//!
//! Invariants: an item is identified by its index and kind, because some servers change ids between
//! events; content that was streamed is not emitted again at the end of the item; calls are
//! numbered from 0 in order of appearance, whatever their index in the output, and each call that
//! was started is ended once; items without a normalized form are carried unchanged. The number of
//! open items and of parts per item is bounded.

mod done;
mod open;

use bytestring::ByteString;

use self::open::{Call, ItemKind, OpenItem};
use super::super::shape::{Item, Json, malformed};
use super::sink::EventSink;
use crate::model::chat::derive_call_id;
use crate::model::event::{Event, ToolCall};
use crate::wire::DecodeError;

pub(super) use self::open::TextKind;

/// Maximum number of items that are open at once. The API sends one item after another; compatible
/// servers may not.
const MAX_OPEN_ITEMS: usize = 256;

/// The state of the items of one answer.
pub(super) struct Items {
    /// The source of ids for calls that arrive without one.
    seed: Box<str>,
    /// Number of tool calls so far.
    calls: u16,
    /// Number of characters of text so far.
    characters: u32,
    /// True once any item was received.
    seen: bool,
    open: Vec<OpenItem>,
}

/// The position of a part in the output.
#[derive(Clone, Copy)]
pub(super) struct PartPosition {
    /// The index of the item in the output.
    pub(super) item: u64,
    /// The index of the part in the item.
    pub(super) part: u64,
}

impl Items {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.into(),
            calls: 0,
            characters: 0,
            seen: false,
            open: Vec::new(),
        }
    }

    /// Returns true once a tool was called that the client runs.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Returns true if the open item at this index is emitted as a whole when it ends.
    pub(super) fn is_emitted_whole(&self, output_index: u64) -> bool {
        self.open
            .iter()
            .any(|open| open.output_index == output_index && open.kind == ItemKind::Other)
    }

    /// Starts an item. Only the name of a call is read: all other content is sent again later.
    pub(super) fn begin(
        &mut self,
        output_index: u64,
        json: Json<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        let item: Item<'_> = json.read();
        let kind = ItemKind::from_item(&item);
        // Some servers use index 0 for all items: a new one ends its predecessor.
        if let Some(before) = self.take(output_index, kind) {
            before.end(sink);
        }
        let mut open = OpenItem::new(output_index, kind);
        // A call without an id waits for its end, which may contain one.
        if kind == ItemKind::Call && item.call_id.is_non_empty() {
            open.call = self.call(&item, sink)?;
        }
        self.insert(open)
    }

    /// Emits a delta of the text of a part.
    pub(super) fn add_text(
        &mut self,
        position: PartPosition,
        text_kind: TextKind,
        text: Json<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        let Some(delta) = text.piece(sink.data) else {
            return Ok(());
        };
        // Taken before this text is counted: citations of the part count from its start.
        let from = self.characters;
        self.open_for_text(position.item, text_kind)?.record_part(
            text_kind,
            position.part,
            from,
        )?;
        sink.out.push(self.text_event(text_kind, delta));
        Ok(())
    }

    /// Emits the whole text of a part, unless it was streamed.
    pub(super) fn add_whole_text(
        &mut self,
        position: PartPosition,
        text_kind: TextKind,
        text: Json<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        let emitted = self
            .find(position.item, text_kind.kind())
            .is_some_and(|open| open.has_emitted(text_kind, Some(position.part)));
        if emitted {
            Ok(())
        } else {
            self.add_text(position, text_kind, text, sink)
        }
    }

    /// Emits a delta of a call's arguments. Deltas are ignored while the call has no name: its end
    /// contains the whole arguments.
    pub(super) fn add_arguments(
        &mut self,
        output_index: u64,
        delta: Json<'_>,
        sink: &mut EventSink<'_>,
    ) {
        if let Some(call) = self
            .find(output_index, ItemKind::Call)
            .and_then(|open| open.call.as_mut())
        {
            call.add_arguments(delta, sink);
        }
    }

    /// Emits the whole arguments of a call, unless they were streamed.
    pub(super) fn add_whole_arguments(
        &mut self,
        output_index: u64,
        whole: Json<'_>,
        sink: &mut EventSink<'_>,
    ) {
        if let Some(call) = self
            .find(output_index, ItemKind::Call)
            .and_then(|open| open.call.as_mut())
            .filter(|call| !call.emitted)
        {
            call.add_arguments(whole, sink);
        }
    }

    /// Emits a source for the text of a part.
    pub(super) fn add_citation(
        &mut self,
        position: PartPosition,
        source: Json<'_>,
        sink: &mut EventSink<'_>,
    ) {
        // A part without text so far starts at the current end of the text.
        let mut from = self.characters;
        if let Some(open) = self.find(position.item, ItemKind::Message) {
            // The end of the item repeats the annotations.
            open.cited = true;
            from = open
                .texts()
                .find(|emitted| emitted.index == position.part)
                .map_or(from, |emitted| emitted.from);
        }
        sink.citation(source, from);
    }

    /// Completes the answer. Emits the parts of its output that were not streamed. Some servers
    /// send an empty output.
    pub(super) fn complete(
        &mut self,
        output: Json<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        // Items that have ended are not emitted again.
        let nothing_emitted = !self.seen;
        for (output_index, json) in (0..).zip(output.list()) {
            let kind = ItemKind::from_item(&json.read());
            if nothing_emitted || self.find(output_index, kind).is_some() {
                self.end(output_index, json, sink)?;
            }
        }
        if self
            .open
            .iter()
            .any(|open| open.kind == ItemKind::Call && open.call.is_none())
        {
            // A call must not be lost silently: the answer would look complete without it.
            return Err(malformed("a tool call has no name"));
        }
        // Some servers complete a response without ending its items.
        self.open.drain(..).for_each(|open| open.end(sink));
        Ok(())
    }

    /// Starts the next call, if the item contains its name.
    fn call(
        &mut self,
        item: &Item<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<Option<Call>, DecodeError> {
        let Some(name) = item.name.piece(sink.data) else {
            return Ok(None);
        };
        let index = self.calls;
        self.calls = index
            .checked_add(1)
            .ok_or_else(|| malformed("too many tool calls"))?;
        let id = item
            .call_id
            .piece(sink.data)
            // The client needs an id to return the result of the call.
            .unwrap_or_else(|| derive_call_id(&self.seed, 0, index));
        let custom = item
            .kind
            .text()
            .is_some_and(|kind| kind == "custom_tool_call");
        sink.out.push(Event::ToolCall(Box::new(ToolCall {
            choice: 0,
            index,
            id,
            name,
            signature: None,
            custom,
        })));
        Ok(Some(Call {
            number: index,
            emitted: false,
        }))
    }

    /// Returns the event for a delta, and counts its characters for citations.
    fn text_event(&mut self, text_kind: TextKind, delta: ByteString) -> Event {
        match text_kind {
            TextKind::Text => {
                let characters = u32::try_from(delta.chars().count()).unwrap_or(u32::MAX);
                self.characters = self.characters.saturating_add(characters);
                Event::Text { choice: 0, delta }
            }
            TextKind::Refusal => Event::Refusal { choice: 0, delta },
            TextKind::Summary | TextKind::Reasoning => Event::Reasoning { choice: 0, delta },
        }
    }

    /// Returns the open item for a text. Starts one if its start event was not sent.
    fn open_for_text(
        &mut self,
        output_index: u64,
        text_kind: TextKind,
    ) -> Result<&mut OpenItem, DecodeError> {
        if self.find(output_index, text_kind.kind()).is_none() {
            self.insert(OpenItem::new(output_index, text_kind.kind()))?;
        }
        self.find(output_index, text_kind.kind())
            .ok_or_else(|| malformed("an item has no index"))
    }

    /// Returns the latest open item with this index and kind.
    fn find(&mut self, output_index: u64, kind: ItemKind) -> Option<&mut OpenItem> {
        self.open
            .iter_mut()
            .rev()
            .find(|open| open.output_index == output_index && open.kind == kind)
    }

    /// Removes and returns an open item.
    fn take(&mut self, output_index: u64, kind: ItemKind) -> Option<OpenItem> {
        let at = self
            .open
            .iter()
            .position(|open| open.output_index == output_index && open.kind == kind)?;
        Some(self.open.remove(at))
    }

    /// Adds an open item.
    fn insert(&mut self, open: OpenItem) -> Result<(), DecodeError> {
        // Bounds the memory for a server that never ends its items.
        if self.open.len() == MAX_OPEN_ITEMS {
            return Err(malformed(format!(
                "more than {MAX_OPEN_ITEMS} items are open at once"
            )));
        }
        self.seen = true;
        self.open.push(open);
        Ok(())
    }
}
