//! Google Gemini.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Encode};

/// The wire.
pub struct Gemini;

impl Encode for Gemini {
    fn opening(&self, _: &Answer) -> Bytes {
        Bytes::new()
    }

    fn content(&self, answer: &Answer) -> Vec<Bytes> {
        let part = |part: Value| chunk(&json!([part]), None, None);
        let reasoning = answer
            .reasoning
            .iter()
            .map(|(text, _)| part(json!({"text": text, "thought": true})));
        let tokens = answer
            .tokens
            .iter()
            .map(|token| part(json!({"text": token})));
        let signature = answer.reasoning.as_ref().map(|(_, signature)| signature);
        let tools = answer.tools.iter().map(|(_, name, pieces)| {
            let args: Value = serde_json::from_str(&pieces.concat()).unwrap();
            let mut call = json!({"functionCall": {"name": name, "args": args}});
            if let Some(signature) = signature {
                call["thoughtSignature"] = signature.as_str().into();
            }
            part(call)
        });
        reasoning
            .chain(tokens)
            .chain(tools)
            .map(Bytes::from)
            .collect()
    }

    fn closing(&self, answer: &Answer) -> Bytes {
        let (input, output) = answer.usage;
        let usage = json!({"promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output});
        chunk(&json!([]), Some("STOP"), Some(&usage)).into()
    }

    fn unknown(&self) -> Bytes {
        chunk(
            &json!([{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]),
            None,
            None,
        )
        .into()
    }

    fn error(&self, message: &str) -> Bytes {
        format!("{}\r\n", self.refusal(500, message)).into()
    }

    fn refusal(&self, status: u16, message: &str) -> Value {
        json!({"error": {"code": status, "message": message, "status": "INTERNAL"}})
    }
}

/// One chunk.
pub fn chunk(parts: &Value, finish: Option<&str>, usage: Option<&Value>) -> String {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    let mut chunk = json!({"candidates": [candidate], "modelVersion": "m-up", "responseId": "up"});
    if let Some(usage) = usage {
        chunk["usageMetadata"] = usage.clone();
    }
    format!("data: {chunk}\r\n\r\n")
}
