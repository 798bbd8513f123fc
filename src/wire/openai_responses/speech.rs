//! What a frame says, as events: slices of it wherever it holds the words unescaped.

use bytestring::ByteString;

use super::shape::{Item, Json, Source};
use crate::model::event::{Citation, Event, Events, Raw, Signature};
use crate::model::wire::WireId;

/// A frame, and where its events go.
pub(super) struct Speech<'o> {
    /// The payload that pieces are slices of.
    pub(super) data: &'o ByteString,
    /// The events.
    pub(super) out: &'o mut Events,
}

impl Speech<'_> {
    /// What has no normalized form, as it came.
    pub(super) fn raw(&mut self, json: Json<'_>) {
        self.carry(json.slice(self.data));
    }

    /// The whole frame, which has no normalized form.
    pub(super) fn raw_frame(&mut self) {
        self.carry(self.data.clone());
    }

    /// How likely the words of a text were.
    pub(super) fn probabilities(&mut self, json: Json<'_>) {
        self.carry(format!("{{\"logprobs\":{}}}", json.raw()).into());
    }

    /// A source. One that cannot be read is still carried whole. Its places count from the start of
    /// its part, which has so many characters before it.
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

    /// What must come back of reasoning: it is encrypted, and goes by the item's id.
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
