//! Google Gemini.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Say, Spell};

/// The wire.
pub struct Gemini;

impl Spell for Gemini {
    fn opening(&self, _: &Say) -> Bytes {
        Bytes::new()
    }

    fn content(&self, say: &Say) -> Vec<Bytes> {
        let part = |part: Value| chunk(&json!([part]), None, None);
        let reasoning = say
            .reasoning
            .iter()
            .map(|(text, _)| part(json!({"text": text, "thought": true})));
        let tokens = say.tokens.iter().map(|token| part(json!({"text": token})));
        let signature = say.reasoning.as_ref().map(|(_, signature)| signature);
        let tools = say.tools.iter().map(|(_, name, pieces)| {
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

    fn closing(&self, say: &Say) -> Bytes {
        let (input, output) = say.usage;
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
