//! AWS Bedrock's ConverseStream.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Say, Spell, joined};

/// The wire.
pub struct Bedrock;

impl Spell for Bedrock {
    fn content_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }

    fn opening(&self, _: &Say) -> Bytes {
        event("messageStart", &json!({"role": "assistant"}))
    }

    /// Text and reasoning begin without a word; blocks end with their last piece.
    fn content(&self, say: &Say) -> Vec<Bytes> {
        let mut blocks: Vec<(Option<Value>, Vec<Value>)> = Vec::new();
        if let Some((thought, signature)) = &say.reasoning {
            let pieces = [json!({"text": thought}), json!({"signature": signature})];
            blocks.push((
                None,
                pieces
                    .into_iter()
                    .map(|piece| json!({"reasoningContent": piece}))
                    .collect(),
            ));
        }
        if !say.tokens.is_empty() {
            blocks.push((
                None,
                say.tokens
                    .iter()
                    .map(|token| json!({"text": token}))
                    .collect(),
            ));
        }
        for (id, name, pieces) in &say.tools {
            let start = json!({"toolUse": {"toolUseId": id, "name": name}});
            blocks.push((
                Some(start),
                pieces
                    .iter()
                    .map(|piece| json!({"toolUse": {"input": piece}}))
                    .collect(),
            ));
        }
        blocks
            .iter()
            .enumerate()
            .flat_map(|(index, (start, deltas))| block(index, start.as_ref(), deltas))
            .collect()
    }

    fn closing(&self, say: &Say) -> Bytes {
        joined(&[stop(say), metadata(say)])
    }

    fn unknown(&self) -> Bytes {
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 7, "delta": {"aNewKind": {"mystery": 42}}}),
        )
    }

    fn error(&self, message: &str) -> Bytes {
        let headers = [
            (":message-type", "exception"),
            (":exception-type", "internalServerException"),
            JSON,
        ];
        framed(&headers, &json!({"message": message}).to_string())
    }

    fn refusal(&self, _: u16, message: &str) -> Value {
        json!({"message": message})
    }

    /// An event nobody has heard of, with headers of every type, and between all others messages
    /// without headers or payload.
    fn strange(&self, stream: &[u8]) -> Bytes {
        let mut odd = Message::new(Bytes::from_static(b"\xff\xfe"));
        let values = [
            HeaderValue::Bool(true),
            HeaderValue::Bool(false),
            HeaderValue::Byte(-1),
            HeaderValue::Int16(-2),
            HeaderValue::Int32(-3),
            HeaderValue::Int64(-4),
            HeaderValue::ByteArray(Bytes::from_static(b"\0\xff")),
            HeaderValue::String("é".to_owned().into()),
            HeaderValue::Timestamp(aws_smithy_types::DateTime::from_secs(1)),
            HeaderValue::Uuid(9),
        ];
        for (number, value) in values.into_iter().enumerate() {
            odd = odd.add_header(Header::new(format!("header-{number}"), value));
        }
        let odd = odd
            .add_header(text(":event-type", "aNewEvent"))
            .add_header(text(":message-type", "event"));
        let empty = framed(&[], "");
        let mut out = vec![empty.clone(), written(&odd)];
        let mut rest = Bytes::copy_from_slice(stream);
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap());
            out.extend([
                rest.split_to(usize::try_from(length).unwrap()),
                empty.clone(),
            ]);
        }
        joined(&out)
    }

    /// A frame without its last byte is none.
    fn unended(&self, stream: &[u8]) -> Vec<Bytes> {
        vec![Bytes::copy_from_slice(stream)]
    }

    /// A message of 1 GiB.
    fn endless(&self) -> Bytes {
        let lengths = [1u32 << 30, 0].map(u32::to_be_bytes).concat();
        let checksum = crc32fast::hash(&lengths).to_be_bytes();
        [lengths, checksum.to_vec()].concat().into()
    }
}

const JSON: (&str, &str) = (":content-type", "application/json");

/// One event, padded as AWS does.
pub fn event(name: &str, payload: &Value) -> Bytes {
    let mut payload = payload.clone();
    payload["p"] = "abcdefghijklm".into();
    framed(
        &[(":event-type", name), JSON, (":message-type", "event")],
        &payload.to_string(),
    )
}

fn stop(say: &Say) -> Bytes {
    let reason = if say.tools.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    event("messageStop", &json!({"stopReason": reason}))
}

fn metadata(say: &Say) -> Bytes {
    let (input, output) = say.usage;
    let usage = json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output, "serverToolUsage": {}});
    event(
        "metadata",
        &json!({"usage": usage, "metrics": {"latencyMs": 7}}),
    )
}

/// One block, a piece for each delta.
fn block(index: usize, start: Option<&Value>, deltas: &[Value]) -> Vec<Bytes> {
    let delta = |delta: &Value| {
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": index, "delta": delta}),
        )
    };
    let mut pieces: Vec<Vec<Bytes>> = deltas.iter().map(|it| vec![delta(it)]).collect();
    if let Some(start) = start {
        pieces[0].insert(
            0,
            event(
                "contentBlockStart",
                &json!({"contentBlockIndex": index, "start": start}),
            ),
        );
    }
    pieces.last_mut().unwrap().push(event(
        "contentBlockStop",
        &json!({"contentBlockIndex": index}),
    ));
    pieces.iter().map(|piece| joined(piece)).collect()
}

fn text(name: &str, value: &str) -> Header {
    Header::new(
        name.to_owned(),
        HeaderValue::String(value.to_owned().into()),
    )
}

/// A message with these headers.
pub fn framed(headers: &[(&str, &str)], payload: &str) -> Bytes {
    let message = Message::new(Bytes::copy_from_slice(payload.as_bytes()));
    written(&headers.iter().fold(message, |message, (name, value)| {
        message.add_header(text(name, value))
    }))
}

fn written(message: &Message) -> Bytes {
    let mut out = Vec::new();
    write_message_to(message, &mut out).unwrap();
    out.into()
}
