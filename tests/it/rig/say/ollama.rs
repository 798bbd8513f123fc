//! Ollama's own chat.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Say, Spell};

/// The wire.
pub struct Ollama;

impl Spell for Ollama {
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn opening(&self, _: &Say) -> Bytes {
        Bytes::new()
    }

    /// Calls come whole.
    fn content(&self, say: &Say) -> Vec<Bytes> {
        let reasoning = say
            .reasoning
            .iter()
            .map(|(words, _)| message(&json!({"content": "", "thinking": words})));
        let tokens = say
            .tokens
            .iter()
            .map(|token| message(&json!({"content": token})));
        let tools = say.tools.iter().enumerate().map(|(index, (id, name, pieces))| {
            let arguments: Value = serde_json::from_str(&pieces.concat()).unwrap();
            let call = json!({"id": id, "function": {"index": index, "name": name, "arguments": arguments}});
            message(&json!({"content": "", "tool_calls": [call]}))
        });
        reasoning
            .chain(tokens)
            .chain(tools)
            .map(Bytes::from)
            .collect()
    }

    fn closing(&self, say: &Say) -> Bytes {
        let (input, output) = say.usage;
        let last = json!({"model": "m-up", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": ""}, "done": true,
            "done_reason": "stop", "total_duration": 9, "prompt_eval_count": input, "eval_count": output});
        format!("{last}\n").into()
    }

    fn unknown(&self) -> Bytes {
        message(&json!({"content": "", "hologram": {"depth": 3}})).into()
    }

    fn error(&self, message: &str) -> Bytes {
        format!("{}\n", self.refusal(500, message)).into()
    }

    fn refusal(&self, _: u16, message: &str) -> Value {
        json!({"error": message})
    }

    /// Byte order mark, both line ends, white space around objects, blank lines.
    fn strange(&self, stream: &[u8]) -> Bytes {
        let mut out = String::from("\u{feff}\r\n \t\n");
        for (n, line) in std::str::from_utf8(stream).unwrap().lines().enumerate() {
            let (before, after) = [("", "\n"), (" ", " \r\n"), ("\t", "\r\n\r\n \n")][n % 3];
            out.extend([before, line, after]);
        }
        out.into()
    }

    fn endless(&self) -> Bytes {
        "{\"x\":\"".into()
    }
}

/// One line.
fn message(members: &Value) -> String {
    let mut message = members.clone();
    message["role"] = "assistant".into();
    format!(
        "{}\n",
        json!({"model": "m-up", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": false})
    )
}
