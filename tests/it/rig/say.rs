//! What a model says, spelled on each wire, streaming or not, as fast as a test wants it. One file
//! a wire.

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

/// Between two tokens.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Nothing: as fast as it can be written.
    Flat,
    /// The gate, before each token and before the end.
    Gate,
    /// This long, by the runtime's clock.
    Every(Duration),
}

/// A model's answer.
#[derive(Debug, Clone)]
pub struct Say {
    /// Its reasoning, and the signature of it where the wire has one.
    pub reasoning: Option<(String, String)>,
    /// Its text, token by token.
    pub tokens: Vec<String>,
    /// Tool calls: id, name, arguments in pieces.
    pub tools: Vec<(String, String, Vec<String>)>,
    /// Input and output tokens.
    pub usage: (u64, u64),
}

/// How a wire spells what is said.
pub trait Spell {
    /// The content type of its streams.
    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }

    /// What comes before the first token; empty where the wire has nothing there.
    fn opening(&self, say: &Say) -> Bytes;

    /// Each piece of content, in order.
    fn content(&self, say: &Say) -> Vec<Bytes>;

    /// What comes after the last token, terminal marker included.
    fn closing(&self, say: &Say) -> Bytes;

    /// Content of a kind that nobody has heard of, so that exactly one `raw` event comes of it.
    fn unknown(&self) -> Bytes;

    /// The whole body of a non-streaming answer.
    fn whole(&self, say: &Say) -> Value {
        panic!("nobody asks this wire for a whole answer: {say:?}")
    }

    /// An error under a 200.
    fn error(&self, message: &str) -> Bytes;

    /// The body of an HTTP error.
    fn refusal(&self, status: u16, message: &str) -> Value;

    /// The same stream as the strangest server might send it that keeps to the framing.
    fn strange(&self, stream: &[u8]) -> Bytes {
        strange_events(std::str::from_utf8(stream).unwrap()).into()
    }

    /// The same stream with the end of its last frame left off, in every way in which the frame is
    /// still complete.
    fn unended(&self, stream: &[u8]) -> Vec<Bytes> {
        let body = std::str::from_utf8(stream).unwrap().trim_end();
        ["", "\n"].map(|end| format!("{body}{end}").into()).to_vec()
    }

    /// How a frame begins that never ends, whatever letters follow.
    fn endless(&self) -> Bytes {
        "data: {\"x\":\"".into()
    }
}

/// Byte order mark, all three line ends, comments, fields without a space, data over several lines,
/// fields of no meaning.
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

/// The spelling of a wire.
pub fn of(wire: WireId) -> &'static dyn Spell {
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

impl Say {
    /// So many different tokens.
    pub fn tokens(count: usize) -> Self {
        let tokens = (0..count).map(|n| format!("tok{n} ")).collect();
        Self {
            reasoning: None,
            tokens,
            tools: Vec::new(),
            usage: (11, 7),
        }
    }

    /// The same with a tool call.
    pub fn tool(mut self, id: &str, name: &str, pieces: &[&str]) -> Self {
        self.tools.push((
            id.into(),
            name.into(),
            pieces.iter().map(|it| (*it).to_owned()).collect(),
        ));
        self
    }

    /// The same with reasoning.
    pub fn reasoning(mut self, text: &str, signature: &str) -> Self {
        self.reasoning = Some((text.into(), signature.into()));
        self
    }

    /// All its text.
    pub fn text(&self) -> String {
        self.tokens.concat()
    }

    /// What comes before the first token.
    pub fn opening(&self, wire: WireId) -> Bytes {
        of(wire).opening(self)
    }

    /// Each piece of content, in order.
    pub fn content(&self, wire: WireId) -> Vec<Bytes> {
        of(wire).content(self)
    }

    /// What comes after the last token, terminal marker included.
    pub fn closing(&self, wire: WireId) -> Bytes {
        of(wire).closing(self)
    }

    /// The whole stream.
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

    /// The whole body of a non-streaming answer, of the wires that are the own ones of a dialect;
    /// others are always streamed.
    pub fn whole(&self, wire: WireId) -> Value {
        of(wire).whole(self)
    }

    /// The steps of one whole stream, head and end included.
    pub fn steps(&self, wire: WireId, pace: Pace) -> Vec<Step> {
        let mut steps = self.steps_until(wire, pace, usize::MAX);
        steps.extend(pause(pace));
        steps.extend([Step::Write(self.closing(wire)), Step::End]);
        steps
    }

    /// The head, the opening and the first `count` pieces of content.
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

    /// A script that answers as it was asked, streaming or not.
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

/// Bytes behind one another.
pub fn joined(pieces: &[Bytes]) -> Bytes {
    pieces.concat().into()
}

/// 200 with a chunked stream of this wire.
pub fn head(wire: WireId) -> Head {
    Head::ok(of(wire).content_type())
}

/// Content of a kind that nobody has heard of.
pub fn unknown(wire: WireId) -> Bytes {
    of(wire).unknown()
}

/// An error as each wire spells it under a 200.
pub fn error(wire: WireId, message: &str) -> Bytes {
    of(wire).error(message)
}

/// The body of an HTTP error as each wire spells it.
pub fn refusal(wire: WireId, status: u16, message: &str) -> Value {
    of(wire).refusal(status, message)
}
