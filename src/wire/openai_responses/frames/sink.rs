//! Emits the events of a frame. Texts are slices of the frame wherever it contains them unescaped.

use bytestring::ByteString;

use super::super::shape::{Item, Json, Source};
use crate::model::event::{Citation, Event, Events, Raw, Signature};
use crate::model::wire::WireId;

/// A frame, and the list that its events are added to.
pub(super) struct EventSink<'o> {
    /// The payload, which texts are slices of.
    pub(super) data: &'o ByteString,
    /// The events.
    pub(super) out: &'o mut Events,
}

impl EventSink<'_> {
    /// Emits JSON without a normalized form, unchanged.
    pub(super) fn raw(&mut self, json: Json<'_>) {
        self.carry(json.slice(self.data));
    }

    /// Emits a whole frame without a normalized form, unchanged.
    pub(super) fn raw_frame(&mut self) {
        self.carry(self.data.clone());
    }

    /// Emits the log probabilities of a text.
    pub(super) fn probabilities(&mut self, json: Json<'_>) {
        self.carry(format!("{{\"logprobs\":{}}}", json.raw()).into());
    }

    /// Emits a source. The whole object is carried even if none of its fields can be read. Its
    /// indexes count from the start of its part, which has `from` characters before it.
    pub(super) fn citation(&mut self, json: Json<'_>, from: u32) {
        let source: Source<'_> = json.read();
        let place = |index: Json<'_>| u32::try_from(index.number()?).ok()?.checked_add(from);
        self.out.push(Event::Citation(Box::new(Citation {
            choice: 0,
            url: source.url.piece(self.data),
            title: source
                .title
                .piece(self.data)
                .or_else(|| source.filename.piece(self.data)),
            quote: None,
            span: place(source.start_index).zip(place(source.end_index)),
            data: json.slice(self.data),
        })));
    }

    /// Emits the encrypted reasoning and the item id, which must be sent back together.
    pub(super) fn signature(&mut self, item: &Item<'_>) {
        if let Some(encrypted) = item.encrypted_content.piece(self.data) {
            let (signature, redacted) = (item.id.piece(self.data), Some(encrypted));
            let wire = WireId::OpenaiResponses;
            self.out.push(Event::Signature(Box::new(Signature {
                choice: 0,
                signature,
                redacted,
                wire,
                on_text: false,
            })));
        }
    }

    fn carry(&mut self, data: ByteString) {
        self.out.push(Event::Raw(Box::new(Raw {
            choice: 0,
            wire: WireId::OpenaiResponses,
            data,
        })));
    }
}
