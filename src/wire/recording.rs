//! Recordings: one upstream answer with its timing, in a file that can be read, edited and
//! replayed.
//!
//! The file is UTF-8 text with one JSON object per line. The first line is the header:
//! `{"recording":1,"wire":"openai-chat","content_type":"text/event-stream","status":200}`. Each
//! further line is one read of the body: `{"at":120,"text":"data: …\n\n"}`, with `at` in
//! milliseconds since the response head, and with `"base64"` instead of `"text"` if the bytes are
//! not UTF-8.
//!
//! Invariants: pure, no IO; parsing gives a recording for every input, or an error that names the
//! line and the problem; a recording that is written and parsed again is equal; times never
//! decrease.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::model::wire::WireId;

/// Maximum size of a recording, bytes: about half a million frames.
pub const SIZE_BOUND: usize = 64 * 1024 * 1024;

/// Maximum time of a chunk since the response head. No upstream is waited for that long.
pub const MAX_CHUNK_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum length of a file name on common file systems, bytes.
const NAME_BOUND: usize = 255;

/// Version of the file format.
const VERSION: u32 = 1;

/// Hint for files that are a bare event stream.
const CONVERT_HINT: &str = "it looks like a bare event stream; to convert it: jq -Rsc \
'{recording:1,wire:\"openai-chat\",content_type:\"text/event-stream\",status:200}, \
(split(\"\\n\\n\")|map(select(.!=\"\"))|to_entries[]|{at:(.key*30),text:(.value+\"\\n\\n\")})' body.txt > name.rec";

/// One upstream answer with its timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The wire of the recorded upstream.
    pub wire: WireId,
    /// The `Content-Type` of the answer.
    pub content_type: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The body, one chunk per read.
    pub chunks: Vec<Chunk>,
}

/// The bytes of one read of the body, with their time.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Time since the response head, in whole milliseconds.
    pub at: Duration,
    /// The bytes.
    pub bytes: Bytes,
}

impl std::fmt::Debug for Chunk {
    /// Formats size and time only: the bytes are completions.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunk({} bytes at {:?})", self.bytes.len(), self.at)
    }
}

/// The reason that a file is not a valid recording. Does not quote the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// The file is larger than [`SIZE_BOUND`].
    #[error("the recording has {size} bytes, more than the maximum of {SIZE_BOUND}: split it")]
    TooLarge {
        /// Size of the file, bytes.
        size: usize,
    },
    /// A line is not valid.
    #[error("line {line} of the recording: {what}")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// The problem, and what to do about it.
        what: String,
    },
}

impl Recording {
    /// Parses a recording.
    ///
    /// # Errors
    /// When the file is too large or a line is not valid.
    pub fn parse(file: &[u8]) -> Result<Self, RecordingError> {
        if file.len() > SIZE_BOUND {
            return Err(RecordingError::TooLarge { size: file.len() });
        }
        let mut lines = file
            .split(|&byte| byte == b'\n')
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim_ascii()));
        let mut recording = lines
            .next()
            .map_or_else(|| Err(missing_header(b"")), |(_, line)| header(line))
            .map_err(|what| line_error(1, what))?;
        let mut latest = Duration::ZERO;
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let chunk = chunk(line, latest).map_err(|what| line_error(number, what))?;
            latest = chunk.at;
            recording.chunks.push(chunk);
        }
        Ok(recording)
    }

    /// Writes the recording in the format that [`Recording::parse`] reads.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut file = header_line(self.wire, &self.content_type, self.status);
        for chunk in &self.chunks {
            file.extend_from_slice(&chunk_line(chunk));
        }
        file
    }
}

/// Writes the first line of a file, with its line break. For recorders that write while they read.
#[must_use]
pub fn header_line(wire: WireId, content_type: &str, status: u16) -> Vec<u8> {
    line_of(&Header {
        recording: VERSION,
        wire: wire.name().into(),
        content_type: content_type.into(),
        status,
    })
}

/// Writes the line of one chunk, with its line break.
#[must_use]
pub fn chunk_line(chunk: &Chunk) -> Vec<u8> {
    let at = u64::try_from(chunk.at.as_millis()).unwrap_or(u64::MAX);
    line_of(&match std::str::from_utf8(&chunk.bytes) {
        Ok(text) => Line {
            at,
            text: Some(text.into()),
            base64: None,
        },
        Err(_) => Line {
            at,
            text: None,
            base64: Some(BASE64.encode(&chunk.bytes)),
        },
    })
}

/// Returns the file name in the name of a replay model. Returns `None` unless it is a plain file
/// name, so that a model cannot name a file outside its folder.
#[must_use]
pub fn file_name(model: &str) -> Option<&str> {
    let plain = !model.contains(['/', '\\', ':']) && !model.chars().any(char::is_control);
    (plain && !model.is_empty() && !model.starts_with('.') && model.len() <= NAME_BOUND)
        .then_some(model)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    recording: u32,
    wire: String,
    content_type: String,
    status: u16,
}

#[skip_serializing_none]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: u64,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    base64: Option<String>,
}

fn line_of(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("numbers and strings are always JSON");
    line.push(b'\n');
    line
}

fn line_error(line: usize, what: String) -> RecordingError {
    RecordingError::Line { line, what }
}

fn header(line: &[u8]) -> Result<Recording, String> {
    let header: Header = match serde_json::from_slice(line) {
        Ok(header) => header,
        // A file that begins like a header gets the precise error instead of the general hint.
        Err(error) if line.starts_with(b"{\"recording\"") => return Err(json_error(&error)),
        Err(_) => return Err(missing_header(line)),
    };
    if header.recording != VERSION {
        return Err(format!(
            "version {} of the format is not supported, only version {VERSION}",
            header.recording
        ));
    }
    let wire = WireId::from_name(&header.wire)
        .ok_or_else(|| format!("unknown wire; the wires are {}", wire_names()))?;
    if !(200..=599).contains(&header.status) {
        return Err("the status must be from 200 to 599".into());
    }
    // Checked here, because a replay sends it as a header.
    if http::HeaderValue::from_str(&header.content_type).is_err() {
        return Err("the content type is not a valid header value".into());
    }
    Ok(Recording {
        wire,
        content_type: header.content_type,
        status: header.status,
        chunks: Vec::new(),
    })
}

fn chunk(line: &[u8], latest: Duration) -> Result<Chunk, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| json_error(&error))?;
    let bytes = match (line.text, line.base64) {
        (Some(text), None) => Bytes::from(text),
        (None, Some(base64)) => BASE64
            .decode(base64)
            .map(Bytes::from)
            .map_err(|_| "the value of `base64` is not valid base64".to_owned())?,
        (Some(_), Some(_)) | (None, None) => {
            return Err("exactly one of `text` and `base64` is required".into());
        }
    };
    let at = Duration::from_millis(line.at);
    if at < latest {
        return Err(format!(
            "`at` decreases: {} ms after {} ms",
            at.as_millis(),
            latest.as_millis()
        ));
    }
    if at > MAX_CHUNK_TIME {
        return Err(
            "`at` is more than a day; it is given in milliseconds since the response head".into(),
        );
    }
    Ok(Chunk { at, bytes })
}

/// Describes an error of serde_json without its line number (always 1 here) and without its
/// message, which can quote the file.
fn json_error(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    match error.classify() {
        Category::Data => format!(
            "a field is missing, unknown or of the wrong type, at column {}",
            error.column()
        ),
        Category::Syntax | Category::Eof | Category::Io => {
            format!("not a single JSON object, at column {}", error.column())
        }
    }
}

/// Returns the error for a missing header, with a hint if the file is a bare event stream.
fn missing_header(line: &[u8]) -> String {
    const FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let hint = if FIELDS.iter().any(|field| line.starts_with(field)) {
        CONVERT_HINT
    } else {
        "is this file a recording?"
    };
    format!(
        "the header {{\"recording\":1,\"wire\":…,\"content_type\":…,\"status\":…}} is missing: \
         {hint}"
    )
}

fn wire_names() -> String {
    WireId::ALL.map(WireId::name).join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const HEADER: &str =
        r#"{"recording":1,"wire":"openai-chat","content_type":"text/event-stream","status":200}"#;

    fn error(file: &str) -> String {
        Recording::parse(file.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_recording_is_parsed() {
        let file = format!(
            "{HEADER}\n{{\"at\":5,\"text\":\"data: é\\n\\n\"}}\n\n{{\"at\":5,\"base64\":\"/w==\"}}"
        );
        let recording = Recording::parse(file.as_bytes()).unwrap();
        let five = Duration::from_millis(5);
        let chunks = vec![
            Chunk {
                at: five,
                bytes: "data: é\n\n".into(),
            },
            Chunk {
                at: five,
                bytes: Bytes::from_static(b"\xff"),
            },
        ];
        assert_eq!(
            recording,
            Recording {
                wire: WireId::OpenaiChat,
                content_type: "text/event-stream".into(),
                status: 200,
                chunks
            }
        );
    }

    #[test]
    fn every_error_names_its_line() {
        for (tail, line, what) in [
            ("{}", 2, "column 2"),
            ("{\"at\":1}", 2, "one of `text` and `base64`"),
            (
                "{\"at\":1,\"text\":\"\",\"base64\":\"\"}",
                2,
                "one of `text` and `base64`",
            ),
            ("{\"at\":1,\"base64\":\"?\"}", 2, "not valid base64"),
            (
                "{\"at\":2,\"text\":\"\"}\n\n{\"at\":1,\"text\":\"\"}",
                4,
                "decreases",
            ),
            ("{\"at\":86400001,\"text\":\"\"}", 2, "more than a day"),
            ("{\"at\":1,\"text\":\"\",\"x\":1}", 2, "unknown"),
            ("data: {}", 2, "not a single JSON object"),
        ] {
            let error = error(&format!("{HEADER}\n{tail}"));
            assert!(
                error.starts_with(&format!("line {line} of the recording: "))
                    && error.contains(what),
                "{error}"
            );
        }
    }

    #[test]
    fn header_errors_name_the_problem() {
        for (from, to, what) in [
            (
                "openai-chat",
                "morse",
                "the wires are openai-chat, openai-responses, anthropic, gemini, bedrock, ollama, cohere",
            ),
            ("\"recording\":1", "\"recording\":2", "version 2"),
            ("200", "99", "from 200 to 599"),
            ("text/event-stream", "a\\nb", "content type"),
            ("\"status\":200", "\"state\":200", "unknown"),
        ] {
            let error = error(&HEADER.replace(from, to));
            assert!(
                error.starts_with("line 1 of the recording: ") && error.contains(what),
                "{error}"
            );
        }
    }

    #[test]
    fn a_bare_event_stream_is_rejected_with_a_conversion_hint() {
        for body in [
            "data: {}\n\n",
            "event: x\n",
            ": hello\n",
            "\u{feff}data: {}\n\n",
        ] {
            assert!(error(body).contains("to convert it: jq"), "{body:?}");
        }
        for body in ["", "{}", "[]", "hello"] {
            assert!(
                error(body).contains("is this file a recording?"),
                "{body:?}"
            );
        }
    }

    #[test]
    fn oversized_files_are_rejected() {
        let file = vec![b'\n'; SIZE_BOUND + 1];
        assert_eq!(
            Recording::parse(&file),
            Err(RecordingError::TooLarge {
                size: SIZE_BOUND + 1
            })
        );
    }

    #[test]
    fn a_model_names_a_plain_file() {
        assert_eq!(file_name("tour.rec"), Some("tour.rec"));
        for name in [
            "", ".", "..", ".hidden", "a/b", "../a", "a\\b", "C:a", "a\0", "a\n",
        ] {
            assert_eq!(file_name(name), None, "{name:?}");
        }
        assert_eq!(file_name(&"a".repeat(NAME_BOUND + 1)), None);
    }

    proptest! {
        #[test]
        fn writing_and_parsing_gives_the_same_recording(
            wire in prop::sample::select(WireId::ALL.to_vec()),
            content_type in "[ -~]{0,30}",
            status in 200u16..=599,
            gaps in prop::collection::vec((0u64..5_000, prop::collection::vec(any::<u8>(), 0..20)), 0..20),
        ) {
            let mut at = Duration::ZERO;
            let chunks = gaps.into_iter().map(|(gap, bytes)| {
                at += Duration::from_millis(gap);
                Chunk { at, bytes: bytes.into() }
            }).collect();
            let recording = Recording { wire, content_type, status, chunks };
            prop_assert_eq!(Recording::parse(&recording.write()), Ok(recording));
        }

        #[test]
        fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), headed in any::<bool>()) {
            let mut file = if headed { format!("{HEADER}\n").into_bytes() } else { Vec::new() };
            file.extend(&bytes);
            if let Ok(recording) = Recording::parse(&file) {
                prop_assert!(headed && recording.status == 200);
            }
        }
    }

    /// Returns the JSON payloads of a recorded openai-chat stream, which must end with `[DONE]`.
    fn payloads(file: &[u8]) -> Vec<Value> {
        let recording = Recording::parse(file).unwrap();
        assert_eq!(
            (recording.wire, recording.status),
            (WireId::OpenaiChat, 200)
        );
        let body = recording
            .chunks
            .iter()
            .flat_map(|chunk| chunk.bytes.to_vec())
            .collect::<Vec<_>>();
        let body = String::from_utf8(body).unwrap();
        let body = body
            .strip_suffix("data: [DONE]\n\n")
            .expect("the terminal marker is last");
        body.split_terminator("\n\n")
            .map(|frame| serde_json::from_str(frame.strip_prefix("data: ").unwrap()).unwrap())
            .collect()
    }

    /// Joins all strings at `path` in the deltas of the first choice.
    fn joined(payloads: &[Value], path: &str) -> String {
        payloads
            .iter()
            .filter_map(|chunk| chunk.pointer("/choices/0/delta")?.pointer(path)?.as_str())
            .collect()
    }

    /// Asserts that the finish reason comes next to last, and usage last.
    fn assert_ended(payloads: &[Value], reason: &str) {
        let [.., finish, usage] = payloads else {
            panic!("finish and usage are missing")
        };
        assert_eq!(
            finish.pointer("/choices/0/finish_reason"),
            Some(&Value::from(reason))
        );
        assert_eq!(usage.pointer("/choices"), Some(&Value::Array(Vec::new())));
        assert!(
            usage
                .pointer("/usage/completion_tokens")
                .and_then(Value::as_u64)
                .is_some_and(|tokens| tokens > 0)
        );
    }

    fn length(file: &[u8]) -> Duration {
        Recording::parse(file).unwrap().chunks.last().unwrap().at
    }

    #[test]
    fn the_tour_contains_reasoning_and_text() {
        let file = include_bytes!("../../demo/tour.rec");
        let payloads = payloads(file);
        assert_ended(&payloads, "stop");
        assert!(joined(&payloads, "/reasoning_content").len() > 200);
        let text = joined(&payloads, "/content");
        for word in ["reload", "second tab", "Stop", "Last-Event-ID"] {
            assert!(text.contains(word), "{word}");
        }
        assert!((20..=30).contains(&length(file).as_secs()));
    }

    #[test]
    fn the_tools_recording_contains_two_parallel_calls() {
        let file = include_bytes!("../../demo/tools.rec");
        let payloads = payloads(file);
        assert_ended(&payloads, "tool_calls");
        assert!(joined(&payloads, "/content").len() > 200);
        let mut arguments = [String::new(), String::new()];
        let calls = payloads
            .iter()
            .filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0"));
        for call in calls {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            arguments[index].push_str(
                call.pointer("/function/arguments")
                    .and_then(Value::as_str)
                    .unwrap(),
            );
        }
        for arguments in arguments {
            assert!(
                serde_json::from_str::<Value>(&arguments)
                    .unwrap()
                    .is_object()
            );
        }
        assert!((20..=30).contains(&length(file).as_secs()));
    }
}
