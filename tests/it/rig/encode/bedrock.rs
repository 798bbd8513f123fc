//! AWS Bedrock's ConverseStream.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Encode, joined};

/// The wire.
pub struct Bedrock;

impl Encode for Bedrock {
    fn content_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }

    fn opening(&self, _: &Answer) -> Bytes {
        event("messageStart", &json!({"role": "assistant"}))
    }

    /// Text and reasoning blocks have no start event; the last piece of a block includes its end.
    fn content(&self, answer: &Answer) -> Vec<Bytes> {
        let mut blocks: Vec<(Option<Value>, Vec<Value>)> = Vec::new();
        if let Some((thought, signature)) = &answer.reasoning {
            let pieces = [json!({"text": thought}), json!({"signature": signature})];
            blocks.push((
                None,
                pieces
                    .into_iter()
                    .map(|piece| json!({"reasoningContent": piece}))
                    .collect(),
            ));
        }
        if !answer.tokens.is_empty() {
            blocks.push((
                None,
                answer
                    .tokens
                    .iter()
                    .map(|token| json!({"text": token}))
                    .collect(),
            ));
        }
        for (id, name, pieces) in &answer.tools {
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

    fn closing(&self, answer: &Answer) -> Bytes {
        joined(&[stop(answer), metadata(answer)])
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

    /// Adds an unknown event with headers of every type, and messages without headers or payload
    /// between all others.
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

    /// A frame without its last byte is incomplete: there is no shorter form.
    fn unended(&self, stream: &[u8]) -> Vec<Bytes> {
        vec![Bytes::copy_from_slice(stream)]
    }

    /// The lengths of a 1 GiB message.
    fn endless(&self) -> Bytes {
        let lengths = [1u32 << 30, 0].map(u32::to_be_bytes).concat();
        let checksum = crc32fast::hash(&lengths).to_be_bytes();
        [lengths, checksum.to_vec()].concat().into()
    }
}

const JSON: (&str, &str) = (":content-type", "application/json");

/// Encodes one event with the padding that AWS adds.
pub fn event(name: &str, payload: &Value) -> Bytes {
    let mut payload = payload.clone();
    payload["p"] = "abcdefghijklm".into();
    framed(
        &[(":event-type", name), JSON, (":message-type", "event")],
        &payload.to_string(),
    )
}

fn stop(answer: &Answer) -> Bytes {
    let reason = if answer.tools.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    event("messageStop", &json!({"stopReason": reason}))
}

fn metadata(answer: &Answer) -> Bytes {
    let (input, output) = answer.usage;
    let usage = json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output, "serverToolUsage": {}});
    event(
        "metadata",
        &json!({"usage": usage, "metrics": {"latencyMs": 7}}),
    )
}

/// Encodes one block, one piece per delta.
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

/// Encodes a message with these headers.
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
