//! What one payload says for one choice: its pieces become events, as slices of the payload
//! wherever it held them unescaped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::shape::{Content, Delta, Part, Source};
use crate::model::event::{Citation, Event, Events, Raw, Signature};
use crate::model::wire::WireId;

/// The events of one choice.
pub(super) struct Speech<'o> {
    /// The payload that pieces are slices of.
    pub(super) data: &'o ByteString,
    /// The choice.
    pub(super) choice: u16,
    /// Where its events go.
    pub(super) out: &'o mut Events,
}

impl<'o> Speech<'o> {
    /// A piece as a slice of the payload, or by itself where it had escapes.
    pub(super) fn piece(&self, text: Cow<'_, str>) -> ByteString {
        match text {
            Cow::Borrowed(text) => self.data.slice_ref(text),
            Cow::Owned(text) => text.into(),
        }
    }

    /// Everything a delta says but its tool calls. `plain` is true once the choice's reasoning has
    /// come as a string: from then on the details only repeat it.
    pub(super) fn delta(&mut self, delta: &mut Delta<'_>, plain: &mut bool) {
        self.reasoning(delta, plain);
        match std::mem::take(&mut delta.content) {
            Content::None => {}
            Content::Text(text) => self.text(text),
            Content::Parts(parts) => parts.into_iter().for_each(|part| self.part(part)),
        }
        if let Some(text) = std::mem::take(&mut delta.refusal).said() {
            let event = Event::Refusal {
                choice: self.choice,
                delta: self.piece(text),
            };
            self.out.push(event);
        }
        for source in std::mem::take(&mut delta.annotations).0 {
            self.citation(source);
        }
        for (name, value) in std::mem::take(&mut delta.rest) {
            if is_news(value.get()) {
                self.raw(&name, value, false);
            }
        }
    }

    /// The same words come under several names: only one of them is taken.
    fn reasoning(&mut self, delta: &mut Delta<'_>, plain: &mut bool) {
        let content = std::mem::take(&mut delta.reasoning_content).said();
        if let Some(words) = content.or_else(|| std::mem::take(&mut delta.reasoning).said()) {
            *plain = true;
            self.thought(words);
        }
        for detail in std::mem::take(&mut delta.reasoning_details).0 {
            self.detail(detail, *plain);
        }
    }

    fn detail(&mut self, json: &RawValue, plain: bool) {
        let mut detail: Part<'_> = serde_json::from_str(json.get()).unwrap_or_default();
        let words = detail.text.0.take();
        let (signature, redacted) = (detail.signature.said(), detail.data.said());
        if words.is_none() && signature.is_none() && redacted.is_none() {
            self.raw("reasoning_details", json, true);
            return;
        }
        if let Some(words) = words.filter(|words| !plain && !words.is_empty()) {
            self.thought(words);
        }
        let signs = signature.is_some() || redacted.is_some();
        let item = if signs && detail.id.said().is_some() {
            wordless(json)
        } else {
            None
        };
        match (item, redacted) {
            (Some(item), Some(_)) => self.signature(None, Some(item.into())),
            (Some(item), None) => self.signature(Some(item.into()), None),
            (_, redacted) => self.signature(signature, redacted),
        }
    }

    /// One piece of a `content` list.
    fn part(&mut self, json: &RawValue) {
        let mut part: Part<'_> = serde_json::from_str(json.get()).unwrap_or_default();
        match part.kind.0.as_deref() {
            Some("text") => part
                .text
                .said()
                .into_iter()
                .for_each(|text| self.text(text)),
            Some("thinking") => {
                self.thinking(std::mem::take(&mut part.thinking));
                self.signature(part.signature.said(), None);
            }
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
            Content::Text(words) => self.thought(words),
            Content::Parts(parts) => {
                for json in parts {
                    match serde_json::from_str::<Part<'_>>(json.get())
                        .unwrap_or_default()
                        .text
                        .0
                    {
                        Some(words) => self.thought(words),
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
                delta: self.piece(text),
            };
            self.out.push(event);
        }
    }

    fn thought(&mut self, text: Cow<'_, str>) {
        if !text.is_empty() {
            let event = Event::Reasoning {
                choice: self.choice,
                delta: self.piece(text),
            };
            self.out.push(event);
        }
    }

    fn signature(&mut self, signature: Option<Cow<'_, str>>, redacted: Option<Cow<'_, str>>) {
        if signature.is_none() && redacted.is_none() {
            return;
        }
        let signature = signature.map(|it| self.piece(it));
        let redacted = redacted.map(|it| self.piece(it));
        self.out.push(Event::Signature(Box::new(Signature {
            choice: self.choice,
            signature,
            redacted,
            wire: WireId::OpenaiChat,
            on_text: false,
        })));
    }

    /// A source; the JSON is a slice of the payload.
    pub(super) fn citation(&mut self, json: &RawValue) {
        let data = self.data.slice_ref(json.get());
        let mut source: Source<'_> = serde_json::from_str(json.get()).unwrap_or_default();
        if let Some(inner) = source.url_citation.take() {
            source = *inner;
        }
        let span =
            source.start.0.zip(source.end.0).and_then(|(start, end)| {
                Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?))
            });
        let citation = Citation {
            url: source.url.said().map(|it| self.piece(it)),
            title: source.title.said().map(|it| self.piece(it)),
            quote: source.quote.said().map(|it| self.piece(it)),
            span,
            ..bare_citation(self.choice, data)
        };
        self.out.push(Event::Citation(Box::new(citation)));
    }

    /// A member of the delta that has no normalized form, under its name; or one item of such a
    /// list.
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

/// An item of `reasoning_details` without its words: where it has an id, its maker wants it back
/// whole.
fn wordless(json: &RawValue) -> Option<String> {
    let mut item: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json.get()).ok()?;
    for words in ["text", "summary"] {
        item.remove(words);
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

/// False for lists and objects that say nothing: empty ones, and those whose members are all null.
pub(super) fn is_news(json: &str) -> bool {
    if json.starts_with('[') {
        return serde_json::from_str::<Vec<IgnoredAny>>(json).is_ok_and(|list| !list.is_empty());
    }
    let members = serde_json::from_str::<BTreeMap<String, Option<IgnoredAny>>>(json);
    members.is_ok_and(|members| members.values().any(Option::is_some))
}
