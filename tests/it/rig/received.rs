//! The answer a client received: folds an answer of any dialect, streamed or whole, into one
//! comparable form.

mod chat;
mod events;
mod messages;
mod responses;
mod ui;

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::Dialect;
use super::sse::Event;

/// The folded answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Received {
    /// Its choices.
    pub choices: BTreeMap<u64, Choice>,
    /// Token usage.
    pub usage: Option<Usage>,
    /// Code and message of its error.
    pub error: Option<(String, String)>,
    /// True if the stream was cancelled.
    pub cancelled: bool,
    /// Number of success (or cancel) markers: `[DONE]`, or an `end` without an error.
    pub done: usize,
    /// Number of ends of any kind.
    pub ends: usize,
    /// True if the body was cut off.
    pub cut: bool,
    /// Signatures and encrypted blocks, unchanged.
    pub signatures: Vec<String>,
    /// `raw` events.
    pub raw: Vec<Value>,
    /// True if tool arguments are objects in this format, not text.
    pub arguments_as_objects: bool,
    /// Parser state of a message.
    blocks: messages::Blocks,
    /// Parser state of a response.
    items: responses::Items,
    /// Parts that have started (`ui`); true for a refusal.
    pub parts: BTreeMap<String, bool>,
}

/// One choice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// Its text.
    pub text: String,
    /// Its reasoning.
    pub reasoning: String,
    /// Its refusal.
    pub refusal: String,
    /// Its tool calls: id, name, arguments.
    pub tools: BTreeMap<u64, (String, String, String)>,
    /// Finish reason.
    pub finish: Option<String>,
}

/// Token counts, normalized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens, cached and cache-write included.
    pub input: Option<u64>,
    /// Output tokens, reasoning included.
    pub output: Option<u64>,
    /// Input tokens read from a cache.
    pub cached: Option<u64>,
    /// Reasoning tokens.
    pub reasoning: Option<u64>,
    /// True if the usage is an estimate.
    pub estimated: bool,
}

impl Received {
    /// Folds the events of a stream.
    pub fn from_events(dialect: Dialect, events: &[Event]) -> Self {
        let mut received = Self::default();
        for event in events {
            received.record(dialect, event);
        }
        received
    }

    /// Returns the text of the first choice.
    pub fn text(&self) -> &str {
        self.choices.get(&0).map_or("", |it| it.text.as_str())
    }

    /// Returns the first choice.
    pub fn first(&self) -> Choice {
        self.choices.get(&0).cloned().unwrap_or_default()
    }

    /// Returns true after a successful end: one end, marked as success, nothing cut off, no error.
    pub fn is_success(&self) -> bool {
        self.done == 1 && self.ends == 1 && self.error.is_none() && !self.cut && !self.cancelled
    }

    /// Returns true after a failure: one error, no success marker, the body properly ended.
    pub fn is_failure(&self) -> bool {
        self.done == 0 && self.ends == 1 && self.error.is_some() && !self.cut
    }

    /// Returns true after a properly cancelled stream.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled && self.done == 1 && self.ends == 1 && self.error.is_none() && !self.cut
    }

    /// Returns the code of the error, or an empty string.
    pub fn code(&self) -> &str {
        self.error.as_ref().map_or("", |(code, _)| code.as_str())
    }

    /// Parses the body of a non-streaming answer.
    pub fn from_body(dialect: Dialect, body: &Value) -> Self {
        match dialect {
            Dialect::Chat => chat::whole(body),
            Dialect::Messages => messages::whole(body),
            Dialect::Ui => ui::whole(body),
            Dialect::Responses => responses::whole(body),
            Dialect::Events => events::whole(body),
        }
    }

    fn choice(&mut self, value: &Value, field: &str) -> &mut Choice {
        self.choices
            .entry(value[field].as_u64().unwrap_or(0))
            .or_default()
    }

    /// Records one event.
    pub fn record(&mut self, dialect: Dialect, event: &Event) {
        match dialect {
            Dialect::Chat => chat::record(self, event),
            Dialect::Messages => messages::record(self, event),
            Dialect::Ui => ui::record(self, event),
            Dialect::Responses => responses::record(self, event),
            Dialect::Events => events::record(self, &event.name, &event.json()),
        }
    }
}

fn error_from(error: &Value) -> (String, String) {
    let code = error["code"]
        .as_str()
        .or(error["type"].as_str())
        .unwrap_or("")
        .to_owned();
    (code, error["message"].as_str().unwrap_or("").to_owned())
}
