//! Ends items: emits the content of an ended item that was not streamed.

use super::super::super::shape::{Item, Json, Part};
use super::super::sink::EventSink;
use super::open::{ItemKind, OpenItem, TextKind};
use super::{Items, PartPosition};
use crate::wire::DecodeError;

impl Items {
    /// Ends an item, whose JSON contains all of its content.
    pub(in super::super) fn end(
        &mut self,
        output_index: u64,
        json: Json<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        let item: Item<'_> = json.read();
        let kind = ItemKind::from_item(&item);
        // It stays open meanwhile, so that the rest is emitted by the same code as streamed
        // content.
        if self.find(output_index, kind).is_none() {
            self.insert(OpenItem::new(output_index, kind))?;
        }
        match kind {
            ItemKind::Message => self.message(output_index, &item, sink)?,
            ItemKind::Reasoning => self.reasoning(output_index, &item, sink)?,
            ItemKind::Call => self.call_done(output_index, json, &item, sink)?,
            ItemKind::Other => sink.raw(json),
        }
        if let Some(open) = self.take(output_index, kind) {
            open.end(sink);
        }
        Ok(())
    }

    /// Emits the parts of a message that were not streamed, in the order of the item.
    fn message(
        &mut self,
        output_index: u64,
        item: &Item<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        let parts: Vec<_> = (0..)
            .zip(item.content.list())
            .map(|(index, json)| MessagePart::new(index, json))
            .collect();
        // Checked first: annotations that were streamed are not emitted again.
        let cited = self
            .find(output_index, ItemKind::Message)
            .is_some_and(|open| open.cited);
        let emitted = self.emitted_parts(output_index, &parts);
        let mut streamed = 0;
        for (
            MessagePart {
                index,
                json,
                part,
                text_kind,
            },
            emitted,
        ) in parts.into_iter().zip(emitted)
        {
            let mut from = self.characters;
            match text_kind {
                None => sink.raw(json),
                Some(TextKind::Text) if emitted => {
                    from = self.text_before(output_index, streamed);
                    streamed += 1;
                }
                Some(_) if emitted => {}
                Some(text_kind) => {
                    let text = if text_kind == TextKind::Refusal {
                        part.refusal
                    } else {
                        part.text
                    };
                    self.add_text(
                        PartPosition {
                            item: output_index,
                            part: index,
                        },
                        text_kind,
                        text,
                        sink,
                    )?;
                }
            }
            if text_kind == Some(TextKind::Text) && !cited {
                part.annotations
                    .list()
                    .into_iter()
                    .for_each(|source| sink.citation(source, from));
            }
        }
        Ok(())
    }

    /// Returns for each part of a message whether it was streamed.
    fn emitted_parts(&mut self, output_index: u64, parts: &[MessagePart<'_>]) -> Vec<bool> {
        let indexes = |text_kind| {
            parts
                .iter()
                .filter(move |it| it.text_kind == Some(text_kind))
                .map(|it| it.index)
                .collect::<Vec<u64>>()
        };
        let (texts, refusals) = (indexes(TextKind::Text), indexes(TextKind::Refusal));
        let Some(open) = self.find(output_index, ItemKind::Message) else {
            return vec![false; parts.len()];
        };
        let has_emitted = |part: &MessagePart<'_>| match part.text_kind {
            Some(text_kind) => {
                let indexes = if text_kind == TextKind::Refusal {
                    &refusals
                } else {
                    &texts
                };
                indexes
                    .binary_search(&part.index)
                    .is_ok_and(|number| open.has_emitted_part(text_kind, indexes, number))
            }
            None => false,
        };
        parts.iter().map(has_emitted).collect()
    }

    /// Emits summaries and reasoning text that were not streamed, and the signature.
    fn reasoning(
        &mut self,
        output_index: u64,
        item: &Item<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        for (text_kind, parts) in [
            (TextKind::Summary, item.summary),
            (TextKind::Reasoning, item.content),
        ] {
            if self
                .find(output_index, ItemKind::Reasoning)
                .is_some_and(|open| open.has_emitted(text_kind, None))
            {
                continue;
            }
            for (index, json) in (0..).zip(parts.list()) {
                let part: Part<'_> = json.read();
                self.add_text(
                    PartPosition {
                        item: output_index,
                        part: index,
                    },
                    text_kind,
                    part.text,
                    sink,
                )?;
            }
        }
        // Only the end of an item contains the final encrypted reasoning.
        sink.signature(item);
        Ok(())
    }

    /// Emits the arguments of a call, and the call itself, as far as they were not streamed.
    fn call_done(
        &mut self,
        output_index: u64,
        json: Json<'_>,
        item: &Item<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        let started = self
            .find(output_index, ItemKind::Call)
            .and_then(|open| open.call);
        let call = if started.is_some() {
            started
        } else {
            self.call(item, sink)?
        };
        // A call without a name cannot be run by the client: it is carried unchanged.
        let Some(mut call) = call else {
            sink.raw(json);
            return Ok(());
        };
        if !call.emitted {
            call.add_arguments(
                // Custom tools have `input` instead of `arguments`.
                if item.input.is_non_empty() {
                    item.input
                } else {
                    item.arguments
                },
                sink,
            );
        }
        if let Some(open) = self.find(output_index, ItemKind::Call) {
            // The open item ends its call when it is removed.
            open.call = Some(call);
        }
        Ok(())
    }

    /// Returns the number of characters before the text with this number in a message. Numbers are
    /// used because events may contain other indexes than the item.
    fn text_before(&mut self, output_index: u64, number: usize) -> u32 {
        let now = self.characters;
        self.find(output_index, ItemKind::Message)
            .and_then(|open| open.texts().nth(number).map(|part| part.from))
            .unwrap_or(now)
    }
}

/// A part of a message, from the JSON of its item.
struct MessagePart<'a> {
    index: u64,
    json: Json<'a>,
    part: Part<'a>,
    /// The kind of its text; `None` if it has no normalized form.
    text_kind: Option<TextKind>,
}

impl<'a> MessagePart<'a> {
    fn new(index: u64, json: Json<'a>) -> Self {
        let part: Part<'a> = json.read();
        let text_kind = match part.kind.text().as_deref() {
            Some("output_text" | "text") => Some(TextKind::Text),
            Some("refusal") => Some(TextKind::Refusal),
            _ => None,
        };
        Self {
            index,
            json,
            part,
            text_kind,
        }
    }
}
