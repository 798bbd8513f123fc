//! What a client was told: the fold of an answer in any dialect, streaming or not, to be compared
//! with any other.

mod chat;
mod events;
mod messages;
mod responses;
mod ui;

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::Speech;
use super::sse::Event;

/// Everything an answer said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Its choices.
    pub choices: BTreeMap<u64, Choice>,
    /// Input, output, cached, cache-write and reasoning tokens.
    pub usage: Option<Usage>,
    /// Code and message of its error.
    pub error: Option<(String, String)>,
    /// It was cancelled.
    pub cancelled: bool,
    /// How often a success (or a cancel) was marked as such: `[DONE]`, or an `end` that is no
    /// error.
    pub done: usize,
    /// How often it ended, in any way.
    pub ends: usize,
    /// The body was cut off.
    pub cut: bool,
    /// Signatures and encrypted blocks, as they stood.
    pub signatures: Vec<String>,
    /// `raw` events.
    pub raw: Vec<Value>,
    /// Arguments were told as objects, not as the text that they are.
    pub objects: bool,
    /// The blocks of a message.
    blocks: messages::Blocks,
    /// The items of a response.
    items: responses::Items,
    /// Parts that have begun (`ui`), and whether each is a refusal.
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
    /// Why it ended.
    pub finish: Option<String>,
}

/// Token counts, normalized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input, cached and cache-write included.
    pub input: Option<u64>,
    /// Output, reasoning included.
    pub output: Option<u64>,
    /// Read from a cache.
    pub cached: Option<u64>,
    /// Reasoning.
    pub reasoning: Option<u64>,
    /// It rests on an estimate.
    pub estimated: bool,
}

impl Told {
    /// What these events say.
    pub fn of(speech: Speech, events: &[Event]) -> Self {
        let mut told = Self::default();
        for event in events {
            told.hear(speech, event);
        }
        told
    }

    /// The text of the first choice.
    pub fn text(&self) -> &str {
        self.choices.get(&0).map_or("", |it| it.text.as_str())
    }

    /// The first choice.
    pub fn first(&self) -> Choice {
        self.choices.get(&0).cloned().unwrap_or_default()
    }

    /// True where it ended well: one end, marked as success, nothing cut, no error.
    pub fn is_success(&self) -> bool {
        self.done == 1 && self.ends == 1 && self.error.is_none() && !self.cut && !self.cancelled
    }

    /// True where it ended as a failure does: one error, no success marker, the body properly
    /// ended.
    pub fn is_failure(&self) -> bool {
        self.done == 0 && self.ends == 1 && self.error.is_some() && !self.cut
    }

    /// True where it ended as a cancelled stream does.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled && self.done == 1 && self.ends == 1 && self.error.is_none() && !self.cut
    }

    /// The code of its error.
    pub fn code(&self) -> &str {
        self.error.as_ref().map_or("", |(code, _)| code.as_str())
    }

    /// What a whole answer that was not streamed says.
    pub fn of_whole(speech: Speech, body: &Value) -> Self {
        match speech {
            Speech::Chat => chat::whole(body),
            Speech::Messages => messages::whole(body),
            Speech::Ui => ui::whole(body),
            Speech::Responses => responses::whole(body),
            Speech::Events => events::whole(body),
        }
    }

    fn choice(&mut self, value: &Value, field: &str) -> &mut Choice {
        self.choices
            .entry(value[field].as_u64().unwrap_or(0))
            .or_default()
    }

    /// Adds one event.
    pub fn hear(&mut self, speech: Speech, event: &Event) {
        match speech {
            Speech::Chat => chat::hear(self, event),
            Speech::Messages => messages::hear(self, event),
            Speech::Ui => ui::hear(self, event),
            Speech::Responses => responses::hear(self, event),
            Speech::Events => events::hear(self, &event.name, &event.json()),
        }
    }
}

fn error_of(error: &Value) -> (String, String) {
    let code = error["code"]
        .as_str()
        .or(error["type"].as_str())
        .unwrap_or("")
        .to_owned();
    (code, error["message"].as_str().unwrap_or("").to_owned())
}
