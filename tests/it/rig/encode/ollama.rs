//! Ollama's native chat API.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Encode};

/// The wire.
pub struct Ollama;

impl Encode for Ollama {
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn opening(&self, _: &Answer) -> Bytes {
        Bytes::new()
    }

    /// Each tool call is whole, in one line.
    fn content(&self, answer: &Answer) -> Vec<Bytes> {
        let reasoning = answer
            .reasoning
            .iter()
            .map(|(words, _)| message(&json!({"content": "", "thinking": words})));
        let tokens = answer
            .tokens
            .iter()
            .map(|token| message(&json!({"content": token})));
        let tools = answer.tools.iter().enumerate().map(|(index, (id, name, pieces))| {
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

    fn closing(&self, answer: &Answer) -> Bytes {
        let (input, output) = answer.usage;
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

    /// Rewrites a stream with a byte order mark, both line ends, white space around objects and
    /// blank lines.
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
