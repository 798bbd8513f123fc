//! A recording, taken apart: what columns of the table are decided by.

use std::borrow::Cow;

use bytes::BytesMut;
use serde_json::Value;
use sluicegate::codec::Frame;
use sluicegate::wire;

use crate::corpus::recording::Recording;
use crate::rig::WireId;
use crate::rig::sse::Event;

/// One frame of a recording.
#[derive(Debug)]
pub struct Payload {
    /// The name it came under.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Its JSON; null where it is none.
    pub json: Value,
}

/// What is seen in a recording.
pub struct Seen<'a> {
    /// The recording.
    pub recording: &'a Recording,
    /// Its body.
    pub body: Cow<'a, str>,
    /// Its frames.
    pub payloads: Vec<Payload>,
    /// What it was decoded to: the stream in the dialect `events`.
    pub events: Vec<Event>,
}

impl<'a> Seen<'a> {
    /// Takes a recording apart.
    pub fn of(recording: &'a Recording, events: Vec<Event>) -> Self {
        Self {
            recording,
            body: String::from_utf8_lossy(&recording.body),
            payloads: payloads(recording),
            events,
        }
    }

    /// True for a recording of this wire.
    pub fn is(&self, wire: WireId) -> bool {
        self.recording.wire == wire
    }

    /// True for a body of server-sent events.
    pub fn is_sse(&self) -> bool {
        !matches!(self.recording.wire, WireId::Bedrock | WireId::Ollama)
            && self.recording.folder != "gemini-json-array"
    }

    /// The lines of the body.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.body.lines()
    }

    /// The JSON of all frames.
    pub fn jsons(&self) -> impl Iterator<Item = &Value> {
        self.payloads.iter().map(|payload| &payload.json)
    }

    /// True where a frame of this wire is like that.
    pub fn any(&self, wire: WireId, like: impl Fn(&Value) -> bool) -> bool {
        self.is(wire) && self.jsons().any(like)
    }

    /// The frames of a type, as Responses, Anthropic and Cohere have them.
    pub fn typed(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.jsons().filter(move |json| json["type"] == kind)
    }

    /// The choices in the chunks of Chat Completions.
    pub fn choices(&self) -> impl Iterator<Item = &Value> {
        let chunks = self.jsons().filter(|_| self.is(WireId::OpenaiChat));
        chunks.flat_map(|chunk| chunk["choices"].as_array().into_iter().flatten())
    }

    /// Their deltas.
    pub fn deltas(&self) -> impl Iterator<Item = &Value> {
        self.choices()
            .map(|choice| &choice["delta"])
            .filter(|delta| delta.is_object())
    }

    /// The pieces of tool calls in them.
    pub fn call_pieces(&self) -> impl Iterator<Item = &Value> {
        self.deltas()
            .flat_map(|delta| delta["tool_calls"].as_array().into_iter().flatten())
    }

    /// The chunks that tell of usage.
    pub fn usages(&self) -> impl Iterator<Item = &Value> {
        self.jsons()
            .filter(|chunk| self.is(WireId::OpenaiChat) && chunk["usage"].is_object())
    }

    /// The candidates of Gemini.
    pub fn candidates(&self) -> impl Iterator<Item = &Value> {
        let chunks = self.jsons().filter(|_| self.is(WireId::Gemini));
        chunks.flat_map(|chunk| chunk["candidates"].as_array().into_iter().flatten())
    }

    /// Their parts.
    pub fn parts(&self) -> impl Iterator<Item = &Value> {
        self.candidates().flat_map(|candidate| {
            candidate["content"]["parts"]
                .as_array()
                .into_iter()
                .flatten()
        })
    }

    /// The data of the decoded events of that name.
    pub fn told(&self, name: &str) -> impl Iterator<Item = Value> {
        self.events
            .iter()
            .filter(move |event| event.name == name)
            .map(Event::json)
    }

    /// Where in the decoded stream the first event of that name stands.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.events.iter().position(|event| event.name == name)
    }
}

/// The frames of a body, as the wire's own framing cuts them.
fn payloads(recording: &Recording) -> Vec<Payload> {
    let mut framing = wire::of(recording.wire).framing(&recording.content_type);
    let mut bytes = BytesMut::from(&recording.body[..]);
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = framing.next(&mut bytes) {
        frames.push(frame);
    }
    while let Some(frame) = framing.finish(&mut bytes) {
        frames.push(frame);
    }
    let payload = |frame: Frame| Payload {
        name: frame.name.to_string(),
        json: serde_json::from_str(&frame.data).unwrap_or(Value::Null),
        text: frame.data.to_string(),
    };
    frames.into_iter().map(payload).collect()
}
