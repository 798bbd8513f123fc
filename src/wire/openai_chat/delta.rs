//! Decodes the delta of one choice in one payload into events. Strings without escapes become
//! slices of the payload.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::shape::{Content, Delta, Part, Source};
use crate::codec::lenient::Text;
use crate::model::event::{Citation, Event, Events, Raw, Signature};
use crate::model::wire::WireId;
use crate::wire::kit::sink::Sink;

/// Writes the events of one choice in one payload.
pub(super) struct ChoiceWriter<'o> {
    /// The payload that strings are slices of.
    pub(super) data: &'o ByteString,
    /// The number of the choice.
    pub(super) choice: u16,
    /// The list that receives the events.
    pub(super) out: &'o mut Events,
}

impl<'o> ChoiceWriter<'o> {
    /// Returns the sink for the tool calls of the choice.
    pub(super) fn sink(&mut self) -> Sink<'_> {
        Sink::new(WireId::OpenaiChat, self.data, self.out).with_choice(self.choice)
    }

    /// Returns text as a slice of the payload, or as a copy if it contained escapes.
    pub(super) fn slice(&self, text: Cow<'_, str>) -> ByteString {
        match text {
            Cow::Borrowed(text) => self.data.slice_ref(text),
            Cow::Owned(text) => text.into(),
        }
    }

    /// Writes the events of a delta except for its tool calls. `plain` is set once the choice's
    /// reasoning has come as a string; `reasoning_details` then only repeat it.
    pub(super) fn delta(&mut self, delta: &mut Delta<'_>, plain: &mut bool) {
        // Reasoning goes first: in a delta that has both it precedes the text.
        self.reasoning(delta, plain);
        match std::mem::take(&mut delta.content) {
            Content::None => {}
            Content::Text(text) => self.text(text),
            Content::Parts(parts) => parts.into_iter().for_each(|part| self.part(part)),
        }
        if let Some(text) = std::mem::take(&mut delta.refusal).non_empty() {
            let event = Event::Refusal {
                choice: self.choice,
                delta: self.slice(text),
            };
            self.out.push(event);
        }
        for source in delta.annotations.raw_list().unwrap_or_default() {
            self.citation(source);
        }
        for (name, value) in std::mem::take(&mut delta.rest) {
            if has_content(value.get()) {
                self.raw(&name, value, false);
            }
        }
    }

    /// Writes the reasoning of a delta. Servers send the same text under several names, so only one
    /// of them is read.
    fn reasoning(&mut self, delta: &mut Delta<'_>, plain: &mut bool) {
        let content = std::mem::take(&mut delta.reasoning_content).non_empty();
        if let Some(text) = content.or_else(|| std::mem::take(&mut delta.reasoning).non_empty()) {
            *plain = true;
            self.thought(text);
        }
        for detail in delta.reasoning_details.raw_list().unwrap_or_default() {
            self.detail(detail, *plain);
        }
    }

    fn detail(&mut self, json: &RawValue, plain: bool) {
        let mut detail: Part<'_> = serde_json::from_str(json.get()).unwrap_or_default();
        let text = detail.text.0.take().map(Text::into_cow);
        let (signature, redacted) = (detail.signature.non_empty(), detail.data.non_empty());
        // A detail of another shape is passed on rather than lost.
        if text.is_none() && signature.is_none() && redacted.is_none() {
            self.raw("reasoning_details", json, true);
            return;
        }
        if let Some(text) = text.filter(|text| !plain && !text.is_empty()) {
            self.thought(text);
        }
        // An item with an id must go back unmodified, so the whole item becomes the signature. Its
        // text is already in the reasoning events.
        let is_signed = signature.is_some() || redacted.is_some();
        let item = if is_signed && detail.id.non_empty().is_some() {
            without_text(json)
        } else {
            None
        };
        match (item, redacted) {
            (Some(item), Some(_)) => self.signature(None, Some(item.into())),
            (Some(item), None) => self.signature(Some(item.into()), None),
            (_, redacted) => self.signature(signature, redacted),
        }
    }

    /// Writes one piece of a `content` list.
    fn part(&mut self, json: &RawValue) {
        let mut part: Part<'_> = serde_json::from_str(json.get()).unwrap_or_default();
        match part.kind.0.as_ref().map(Text::as_str) {
            Some("text") => part
                .text
                .non_empty()
                .into_iter()
                .for_each(|text| self.text(text)),
            Some("thinking") => {
                self.thinking(std::mem::take(&mut part.thinking));
                self.signature(part.signature.non_empty(), None);
            }
            // Mistral's references name their sources by number only.
            Some("reference") => {
                let data = self.data.slice_ref(json.get());
                self.out
                    .push(Event::Citation(Box::new(bare_citation(self.choice, data))));
            }
            _ => self.raw("content", json, true),
        }
    }

    fn thinking(&mut self, thinking: Content<'_>) {
        match thinking {
            Content::None => {}
            Content::Text(text) => self.thought(text),
            Content::Parts(parts) => {
                for json in parts {
                    match serde_json::from_str::<Part<'_>>(json.get())
                        .unwrap_or_default()
                        .text
                        .0
                    {
                        Some(text) => self.thought(text.into_cow()),
                        None => self.raw("content", json, true),
                    }
                }
            }
        }
    }

    fn text(&mut self, text: Cow<'_, str>) {
        if !text.is_empty() {
            let event = Event::Text {
                choice: self.choice,
                delta: self.slice(text),
            };
            self.out.push(event);
        }
    }

    fn thought(&mut self, text: Cow<'_, str>) {
        if !text.is_empty() {
            let event = Event::Reasoning {
                choice: self.choice,
                delta: self.slice(text),
            };
            self.out.push(event);
        }
    }

    fn signature(&mut self, signature: Option<Cow<'_, str>>, redacted: Option<Cow<'_, str>>) {
        if signature.is_none() && redacted.is_none() {
            return;
        }
        let signature = signature.map(|it| self.slice(it));
        let redacted = redacted.map(|it| self.slice(it));
        self.out.push(Event::Signature(Box::new(Signature {
            choice: self.choice,
            signature,
            redacted,
            wire: WireId::OpenaiChat,
            on_text: false,
        })));
    }

    /// Writes a source as a citation. `json` must be a slice of the payload.
    pub(super) fn citation(&mut self, json: &RawValue) {
        let data = self.data.slice_ref(json.get());
        let mut source: Source<'_> = serde_json::from_str(json.get()).unwrap_or_default();
        // OpenAI nests the source under its type; others send its members directly.
        if let Some(inner) = source.url_citation.take() {
            source = *inner;
        }
        let span =
            source.start.0.zip(source.end.0).and_then(|(start, end)| {
                Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?))
            });
        let citation = Citation {
            url: source.url.non_empty().map(|it| self.slice(it)),
            title: source.title.non_empty().map(|it| self.slice(it)),
            quote: source.quote.non_empty().map(|it| self.slice(it)),
            span,
            ..bare_citation(self.choice, data)
        };
        self.out.push(Event::Citation(Box::new(citation)));
    }

    /// Writes a raw event `{name: value}` for a member of the delta that has no normalized form, or
    /// `{name: [value]}` if `value` is an item of such a list.
    pub(super) fn raw(&mut self, name: &str, value: &RawValue, item: bool) {
        let (open, close) = if item { ("[", "]") } else { ("", "") };
        let name = serde_json::Value::from(name);
        let data = format!("{{{name}:{open}{}{close}}}", value.get());
        self.out.push(Event::Raw(Box::new(Raw {
            choice: self.choice,
            wire: WireId::OpenaiChat,
            data: data.into(),
        })));
    }
}

/// Returns an item of `reasoning_details` without its text.
fn without_text(json: &RawValue) -> Option<String> {
    let mut item: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json.get()).ok()?;
    for member in ["text", "summary"] {
        item.remove(member);
    }
    Some(serde_json::Value::Object(item).to_string())
}

fn bare_citation(choice: u16, data: ByteString) -> Citation {
    Citation {
        choice,
        url: None,
        title: None,
        quote: None,
        span: None,
        data,
    }
}

/// Returns false for empty lists, and for objects that are empty or have only `null` members.
pub(super) fn has_content(json: &str) -> bool {
    if json.starts_with('[') {
        return serde_json::from_str::<Vec<IgnoredAny>>(json).is_ok_and(|list| !list.is_empty());
    }
    let members = serde_json::from_str::<BTreeMap<String, Option<IgnoredAny>>>(json);
    members.is_ok_and(|members| members.values().any(Option::is_some))
}
