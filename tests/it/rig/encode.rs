//! A model's answer, encoded for each wire, streamed or whole, at a chosen pace. One file per wire.

pub mod anthropic;
pub mod bedrock;
pub mod chat;
pub mod cohere;
pub mod gemini;
pub mod ollama;
pub mod responses;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::WireId;
use super::upstream::{Call, Head, Step, json as whole_json};

/// Time between two tokens.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// None: as fast as the socket allows.
    Flat,
    /// The gate, before each token and before the end.
    Gate,
    /// A fixed time on the runtime's clock.
    Every(Duration),
}

/// The answer of a scripted model.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Reasoning text and its signature, for wires with signatures.
    pub reasoning: Option<(String, String)>,
    /// Text, token by token.
    pub tokens: Vec<String>,
    /// Tool calls: id, name, arguments in pieces.
    pub tools: Vec<(String, String, Vec<String>)>,
    /// Input and output tokens.
    pub usage: (u64, u64),
}

/// Encodes an answer in the format of one wire.
pub trait Encode {
    /// Content type of a stream.
    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }

    /// Bytes before the first token; empty if the wire has none.
    fn opening(&self, answer: &Answer) -> Bytes;

    /// The pieces of content, in order.
    fn content(&self, answer: &Answer) -> Vec<Bytes>;

    /// Bytes after the last token, terminal marker included.
    fn closing(&self, answer: &Answer) -> Bytes;

    /// Content of an unknown kind that decodes to exactly one `raw` event.
    fn unknown(&self) -> Bytes;

    /// The whole body of a non-streaming answer.
    fn whole(&self, answer: &Answer) -> Value {
        panic!("this wire has no whole answers: {answer:?}")
    }

    /// An error in a stream with status 200.
    fn error(&self, message: &str) -> Bytes;

    /// The body of an HTTP error.
    fn refusal(&self, status: u16, message: &str) -> Value;

    /// The same stream in the most unusual form that the framing allows.
    fn strange(&self, stream: &[u8]) -> Bytes {
        strange_events(std::str::from_utf8(stream).unwrap()).into()
    }

    /// The same stream without the end of its last frame, in every way in which the frame is still
    /// complete.
    fn unended(&self, stream: &[u8]) -> Vec<Bytes> {
        let body = std::str::from_utf8(stream).unwrap().trim_end();
        ["", "\n"].map(|end| format!("{body}{end}").into()).to_vec()
    }

    /// The beginning of a frame that never ends, whatever letters follow.
    fn endless(&self) -> Bytes {
        "data: {\"x\":\"".into()
    }
}

/// Rewrites a stream with a byte order mark, all three line ends, comments, fields without a space,
/// data over several lines and meaningless fields.
fn strange_events(stream: &str) -> String {
    let mut out = String::from("\u{feff}: hello\r\n\r\n");
    for (n, block) in stream
        .replace("\r\n", "\n")
        .split_terminator("\n\n")
        .enumerate()
    {
        let lines = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::to_owned)
        };
        let (event, data) = (lines("event: "), lines("data: ").unwrap());
        let end = ["\r\n", "\r", "\n"][n % 3];
        if let Some(event) = event {
            write!(out, "event:{event}{end}").unwrap();
        }
        match serde_json::from_str::<Value>(&data) {
            Ok(json) if n % 2 == 1 => {
                for line in serde_json::to_string_pretty(&json).unwrap().lines() {
                    write!(out, "data: {line}{end}").unwrap();
                }
            }
            _ => write!(out, "data:{data}{end}").unwrap(),
        }
        write!(out, ": a comment{end}id: {n}{end}retry: 5{end}{end}").unwrap();
    }
    out
}

/// Returns the encoder of a wire.
pub fn for_wire(wire: WireId) -> &'static dyn Encode {
    match wire {
        WireId::Anthropic => &anthropic::Anthropic,
        WireId::Gemini => &gemini::Gemini,
        WireId::Ollama => &ollama::Ollama,
        WireId::Cohere => &cohere::Cohere,
        WireId::OpenaiResponses => &responses::Responses,
        WireId::Bedrock => &bedrock::Bedrock,
        _ => &chat::Chat,
    }
}

impl Answer {
    /// Creates an answer of `count` different tokens.
    pub fn tokens(count: usize) -> Self {
        let tokens = (0..count).map(|n| format!("tok{n} ")).collect();
        Self {
            reasoning: None,
            tokens,
            tools: Vec::new(),
            usage: (11, 7),
        }
    }

    /// Adds a tool call.
    pub fn tool(mut self, id: &str, name: &str, pieces: &[&str]) -> Self {
        self.tools.push((
            id.into(),
            name.into(),
            pieces.iter().map(|it| (*it).to_owned()).collect(),
        ));
        self
    }

    /// Adds reasoning.
    pub fn reasoning(mut self, text: &str, signature: &str) -> Self {
        self.reasoning = Some((text.into(), signature.into()));
        self
    }

    /// Returns the whole text.
    pub fn text(&self) -> String {
        self.tokens.concat()
    }

    /// Bytes before the first token.
    pub fn opening(&self, wire: WireId) -> Bytes {
        for_wire(wire).opening(self)
    }

    /// The pieces of content, in order.
    pub fn content(&self, wire: WireId) -> Vec<Bytes> {
        for_wire(wire).content(self)
    }

    /// Bytes after the last token, terminal marker included.
    pub fn closing(&self, wire: WireId) -> Bytes {
        for_wire(wire).closing(self)
    }

    /// Returns the whole stream.
    pub fn stream(&self, wire: WireId) -> Bytes {
        joined(
            &[
                vec![self.opening(wire)],
                self.content(wire),
                vec![self.closing(wire)],
            ]
            .concat(),
        )
    }

    /// Returns the body of a non-streaming answer, for wires that are a dialect's own; other wires
    /// are always streamed.
    pub fn whole(&self, wire: WireId) -> Value {
        for_wire(wire).whole(self)
    }

    /// Returns the steps of one whole stream, head and end included.
    pub fn steps(&self, wire: WireId, pace: Pace) -> Vec<Step> {
        let mut steps = self.steps_until(wire, pace, usize::MAX);
        steps.extend(pause(pace));
        steps.extend([Step::Write(self.closing(wire)), Step::End]);
        steps
    }

    /// Returns the head, the opening and the first `count` pieces of content.
    pub fn steps_until(&self, wire: WireId, pace: Pace, count: usize) -> Vec<Step> {
        let mut steps = vec![Step::Head(head(wire))];
        steps.extend(
            Some(self.opening(wire))
                .filter(|it| !it.is_empty())
                .map(Step::Write),
        );
        for piece in self.content(wire).into_iter().take(count) {
            steps.extend(pause(pace));
            steps.push(Step::Write(piece));
        }
        steps
    }

    /// Returns a script that answers streaming and non-streaming requests.
    pub fn script(
        self,
        wire: WireId,
        pace: Pace,
    ) -> impl Fn(&Call, usize) -> Vec<Step> + Send + Sync + 'static {
        move |call, _| {
            if call.wants_stream() {
                return self.steps(wire, pace);
            }
            let mut steps: Vec<Step> = pause(pace).into_iter().collect();
            steps.extend(whole_json(200, self.whole(wire).to_string()));
            steps
        }
    }
}

fn pause(pace: Pace) -> Option<Step> {
    match pace {
        Pace::Flat => None,
        Pace::Gate => Some(Step::Gate),
        Pace::Every(time) => Some(Step::Pause(time)),
    }
}

/// Concatenates the pieces.
pub fn joined(pieces: &[Bytes]) -> Bytes {
    pieces.concat().into()
}

/// A head with status 200 and a chunked stream of this wire.
pub fn head(wire: WireId) -> Head {
    Head::ok(for_wire(wire).content_type())
}

/// Content of an unknown kind.
pub fn unknown(wire: WireId) -> Bytes {
    for_wire(wire).unknown()
}

/// An error in a stream with status 200.
pub fn error(wire: WireId, message: &str) -> Bytes {
    for_wire(wire).error(message)
}

/// The body of an HTTP error.
pub fn refusal(wire: WireId, status: u16, message: &str) -> Value {
    for_wire(wire).refusal(status, message)
}
