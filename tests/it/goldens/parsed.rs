//! A parsed recording, from which the columns of the table are computed.

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
    /// Its event name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Its JSON; null if it is not JSON.
    pub json: Value,
}

/// The parsed parts of a recording.
pub struct Parsed<'a> {
    /// The recording.
    pub recording: &'a Recording,
    /// Its body.
    pub body: Cow<'a, str>,
    /// Its frames.
    pub payloads: Vec<Payload>,
    /// The decoded events: the stream in the `events` dialect.
    pub events: Vec<Event>,
}

impl<'a> Parsed<'a> {
    /// Parses a recording.
    pub fn new(recording: &'a Recording, events: Vec<Event>) -> Self {
        Self {
            recording,
            body: String::from_utf8_lossy(&recording.body),
            payloads: payloads(recording),
            events,
        }
    }

    /// Returns true for a recording of this wire.
    pub fn is(&self, wire: WireId) -> bool {
        self.recording.wire == wire
    }

    /// Returns true for a body of server-sent events.
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

    /// Returns true if a frame of this wire matches.
    pub fn any(&self, wire: WireId, like: impl Fn(&Value) -> bool) -> bool {
        self.is(wire) && self.jsons().any(like)
    }

    /// The frames of a type, as in Responses, Anthropic and Cohere.
    pub fn with_type(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.jsons().filter(move |json| json["type"] == kind)
    }

    /// The choices in the chunks of Chat Completions.
    pub fn choices(&self) -> impl Iterator<Item = &Value> {
        let chunks = self.jsons().filter(|_| self.is(WireId::OpenaiChat));
        chunks.flat_map(|chunk| chunk["choices"].as_array().into_iter().flatten())
    }

    /// The deltas of the choices.
    pub fn deltas(&self) -> impl Iterator<Item = &Value> {
        self.choices()
            .map(|choice| &choice["delta"])
            .filter(|delta| delta.is_object())
    }

    /// The pieces of tool calls in the deltas.
    pub fn call_pieces(&self) -> impl Iterator<Item = &Value> {
        self.deltas()
            .flat_map(|delta| delta["tool_calls"].as_array().into_iter().flatten())
    }

    /// The chunks with usage.
    pub fn usages(&self) -> impl Iterator<Item = &Value> {
        self.jsons()
            .filter(|chunk| self.is(WireId::OpenaiChat) && chunk["usage"].is_object())
    }

    /// The candidates of Gemini.
    pub fn candidates(&self) -> impl Iterator<Item = &Value> {
        let chunks = self.jsons().filter(|_| self.is(WireId::Gemini));
        chunks.flat_map(|chunk| chunk["candidates"].as_array().into_iter().flatten())
    }

    /// The parts of the candidates.
    pub fn parts(&self) -> impl Iterator<Item = &Value> {
        self.candidates().flat_map(|candidate| {
            candidate["content"]["parts"]
                .as_array()
                .into_iter()
                .flatten()
        })
    }

    /// The data of the decoded events of that name.
    pub fn events_named(&self, name: &str) -> impl Iterator<Item = Value> {
        self.events
            .iter()
            .filter(move |event| event.name == name)
            .map(Event::json)
    }

    /// The index of the first decoded event of that name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.events.iter().position(|event| event.name == name)
    }
}

/// Splits a body into frames with the wire's framing.
fn payloads(recording: &Recording) -> Vec<Payload> {
    let mut framing = wire::for_id(recording.wire).framing(&recording.content_type);
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
