//! Folds events to the whole answer. The streamed and the whole answer have the same content, for
//! every wire and dialect.

use bytestring::ByteString;

use super::event::{Citation, End, Event, Failure, Finish, Raw, Reason, Route, Signature, Start};
use super::usage::Usage;

/// The content of a whole stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The start.
    pub start: Option<Start>,
    /// The target that answered.
    pub route: Option<Route>,
    /// The choices, by number.
    pub choices: Vec<Choice>,
    /// The usage.
    pub usage: Option<Usage>,
    /// The failure, if it failed.
    pub failure: Option<Failure>,
    /// The end, if it ended.
    pub end: Option<End>,
}

/// One choice of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The content, in order.
    pub parts: Vec<Part>,
    /// The finish, if it is complete.
    pub finish: Option<Finish>,
}

/// A part of a choice.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// Reasoning text.
    Reasoning(String),
    /// A signature or encrypted block.
    Signature(Signature),
    /// A tool call.
    ToolCall {
        /// The index of the call in the choice.
        index: u16,
        /// The id of the call.
        id: ByteString,
        /// The name of the tool.
        name: ByteString,
        /// JSON text, or free text of a custom tool.
        arguments: String,
        /// The signature that the provider needs back with the call.
        signature: Option<ByteString>,
        /// True for a custom tool.
        custom: bool,
    },
    /// A refusal.
    Refusal(String),
    /// A source.
    Citation(Citation),
    /// Content without a normalized form.
    Raw(Raw),
}

impl Answer {
    /// Folds events to an answer.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut answer = Self::default();
        events.into_iter().for_each(|event| answer.add(event));
        answer
    }

    /// Adds the next event.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Start(it) => self.start = Some((**it).clone()),
            Event::Route(it) => self.route = Some((**it).clone()),
            Event::Usage(it) => self.usage = Some(**it),
            Event::Error(it) => self.failure = Some((**it).clone()),
            Event::End(it) => self.end = Some((**it).clone()),
            content => self.choice_mut(content.choice()).add(content),
        }
    }

    /// Returns the usage: that of the last `usage` event, otherwise that of the end.
    #[must_use]
    pub fn last_usage(&self) -> Option<Usage> {
        let end = self.end.as_ref();
        self.usage.or(end.and_then(|end| end.usage))
    }

    /// Returns the reason that it ended, if it has ended.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.end.as_ref().map(|end| end.reason)
    }

    /// Returns true if any choice has content.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.choices.iter().any(|choice| !choice.parts.is_empty())
    }

    #[expect(clippy::indexing_slicing, reason = "resized just before")]
    fn choice_mut(&mut self, number: u16) -> &mut Choice {
        let at = usize::from(number);
        if self.choices.len() <= at {
            self.choices.resize_with(at + 1, Choice::default);
        }
        &mut self.choices[at]
    }
}

impl Choice {
    fn add(&mut self, event: &Event) {
        match event {
            // A delta extends the last part only: text after a tool call is a part of its own.
            Event::Text { delta, .. } => match self.parts.last_mut() {
                Some(Part::Text(text)) => text.push_str(delta),
                _ => self.parts.push(Part::Text(delta.to_string())),
            },
            Event::Reasoning { delta, .. } => match self.parts.last_mut() {
                Some(Part::Reasoning(text)) => text.push_str(delta),
                _ => self.parts.push(Part::Reasoning(delta.to_string())),
            },
            Event::Refusal { delta, .. } => match self.parts.last_mut() {
                Some(Part::Refusal(text)) => text.push_str(delta),
                _ => self.parts.push(Part::Refusal(delta.to_string())),
            },
            Event::Signature(it) => self.parts.push(Part::Signature((**it).clone())),
            Event::Citation(it) => self.parts.push(Part::Citation((**it).clone())),
            Event::Raw(it) => self.parts.push(Part::Raw((**it).clone())),
            Event::ToolCall(it) => self.parts.push(Part::ToolCall {
                index: it.index,
                id: it.id.clone(),
                name: it.name.clone(),
                arguments: String::new(),
                signature: it.signature.clone(),
                custom: it.custom,
            }),
            Event::ToolArguments { index, delta, .. } => self.add_arguments(*index, delta),
            Event::Finish(it) => self.finish = Some((**it).clone()),
            Event::ToolCallEnd { .. }
            | Event::Start(_)
            | Event::Route(_)
            | Event::Usage(_)
            | Event::Error(_)
            | Event::End(_) => {}
        }
    }

    fn add_arguments(&mut self, call_index: u16, delta: &str) {
        // Calls may interleave, so that the index decides and not the position.
        let call = self.parts.iter_mut().rev().find_map(|part| match part {
            Part::ToolCall {
                index, arguments, ..
            } if *index == call_index => Some(arguments),
            _ => None,
        });
        if let Some(arguments) = call {
            arguments.push_str(delta);
        }
    }

    /// Returns all text.
    #[must_use]
    pub fn text(&self) -> String {
        self.join(|part| {
            if let Part::Text(text) = part {
                Some(text)
            } else {
                None
            }
        })
    }

    /// Returns all reasoning text.
    #[must_use]
    pub fn reasoning(&self) -> String {
        self.join(|part| {
            if let Part::Reasoning(text) = part {
                Some(text)
            } else {
                None
            }
        })
    }

    /// Returns all text of refusals.
    #[must_use]
    pub fn refusal(&self) -> String {
        self.join(|part| {
            if let Part::Refusal(text) = part {
                Some(text)
            } else {
                None
            }
        })
    }

    fn join<'a>(&'a self, pick: impl Fn(&'a Part) -> Option<&'a String>) -> String {
        self.parts
            .iter()
            .filter_map(pick)
            .map(String::as_str)
            .collect()
    }
}
