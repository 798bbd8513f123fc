//! The conversation as turns in the order that the target takes.
//!
//! Invariants: parts that the target does not take are left out here, before turns are merged: texts
//! that are empty or blank, and reasoning that another wire made. Nothing else is left out. Results
//! of tools stand before the other parts of their message if they have turns of their own. Each part
//! keeps its position in the client's conversation.

mod ordered;

use super::refusals::Position;
use crate::model::accepts::{Accepts, ResultPlace, SystemMessages, TextSupport};
use crate::model::chat::{Chat, Message, Origin, Part, Role, ToolResult};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

pub(in crate::wire) use ordered::Ordered;

/// A conversation, ready to be written turn by turn.
#[derive(Debug, Default)]
pub(in crate::wire) struct Conversation<'a> {
    /// Instructions that stand apart from the turns: texts and cache marks only.
    pub(in crate::wire) instructions: Vec<Placed<'a>>,
    /// The turns. Turns without parts are left out if the target takes no empty texts.
    pub(in crate::wire) turns: Vec<Turn<'a>>,
}

/// A turn.
#[derive(Debug)]
pub(in crate::wire) struct Turn<'a> {
    /// The role. [`Role::Tool`] is a turn of tool results, with their cache marks.
    pub(in crate::wire) role: Role,
    /// The name of the participant.
    pub(in crate::wire) name: Option<&'a str>,
    /// The parts.
    pub(in crate::wire) parts: Vec<Placed<'a>>,
}

/// A part and its position in the client's conversation.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct Placed<'a> {
    /// The part.
    pub(in crate::wire) part: &'a Part,
    /// Its position.
    pub(in crate::wire) position: Position,
}

/// Returns the turns of a chat for a wire and a target that takes these.
///
/// # Errors
/// A 400 for instructions that are not text, if they must stand apart, and for calls of tools if the
/// target has none.
pub(in crate::wire) fn conversation<'a>(
    chat: &'a Chat,
    wire: WireId,
    accepts: &Accepts,
) -> Result<Conversation<'a>, Fault> {
    let apart = instructions_apart(&chat.messages, accepts.system_messages);
    let mut planner = Planner {
        wire,
        accepts: *accepts,
        turns: Vec::with_capacity(chat.messages.len()),
        pending: None,
    };
    let mut instructions = Vec::new();
    for (at, message) in chat.messages.iter().enumerate() {
        let parts = planner.taken_parts(message, chat.origin(at))?;
        if message.role == Role::System && at < apart {
            check_instructions(&parts)?;
            instructions.extend(parts);
        } else {
            planner.push_message(message, parts);
        }
    }
    planner.flush();
    Ok(Conversation {
        instructions,
        turns: planner.turns,
    })
}

/// Returns the number of messages at the beginning whose instructions stand apart.
fn instructions_apart(messages: &[Message], place: SystemMessages) -> usize {
    let leading = || messages.iter().take_while(|it| is_text_only(it)).count();
    match place {
        SystemMessages::InPlace => 0,
        SystemMessages::Apart => messages.len(),
        // A request consists of more than instructions.
        SystemMessages::LeadingApart => Some(leading())
            .filter(|leading| *leading < messages.len())
            .unwrap_or_default(),
    }
}

fn is_text_only(message: &Message) -> bool {
    message.role == Role::System && message.parts.iter().all(is_text_or_mark)
}

fn is_text_or_mark(part: &Part) -> bool {
    matches!(part, Part::Text(_) | Part::CacheMark(_))
}

fn check_instructions(parts: &[Placed<'_>]) -> Result<(), Fault> {
    match parts.iter().find(|it| !is_text_or_mark(it.part)) {
        Some(other) => Err(other.position.misplaced(other.part)),
        None => Ok(()),
    }
}

/// Returns the parts of a message, or of a tool result, with their positions.
fn placed(parts: &[Part], role: Role, origin: Origin) -> impl Iterator<Item = Placed<'_>> {
    let Origin {
        message,
        mut content,
    } = origin;
    parts.iter().map(move |part| {
        // These are parts of a message's content in every dialect; calls and reasoning are not.
        let counts = matches!(
            part,
            Part::Text(_) | Part::Image { .. } | Part::File { .. } | Part::Audio { .. }
        );
        let position = Position {
            message,
            content: counts.then_some(content),
            role,
        };
        content += usize::from(counts);
        Placed { part, position }
    })
}

impl<'a> Placed<'a> {
    /// Returns the parts of a tool result with their positions.
    pub(in crate::wire) fn parts_of(
        self,
        result: &'a ToolResult,
    ) -> impl Iterator<Item = Placed<'a>> {
        placed(&result.parts, Role::Tool, Origin::of(self.position.message))
    }

    /// Returns those of them that stand in the turn of the result.
    pub(in crate::wire) fn own_parts_of(
        self,
        result: &'a ToolResult,
        place: ResultPlace,
    ) -> impl Iterator<Item = Placed<'a>> {
        self.parts_of(result)
            .filter(move |it| place != ResultPlace::OwnTextOnly || is_text_or_mark(it.part))
    }
}

struct Planner<'a> {
    wire: WireId,
    accepts: Accepts,
    turns: Vec<Turn<'a>>,
    /// A user turn with the images and files of tool results. It follows the last result.
    pending: Option<Turn<'a>>,
}

impl<'a> Planner<'a> {
    /// Returns the parts of a message without those that the target does not take.
    fn taken_parts(&self, message: &'a Message, origin: Origin) -> Result<Vec<Placed<'a>>, Fault> {
        let mut parts = Vec::with_capacity(message.parts.len());
        let mut signed = false;
        for it in placed(&message.parts, own_role(message.role), origin) {
            let taken = match it.part {
                // The signature before a text belongs to it even if the text is empty.
                Part::Text(text) | Part::Refusal(text) => signed || self.accepts.texts.takes(text),
                // Another provider's reasoning is never sent.
                Part::Reasoning(past) => past
                    .wire
                    .map_or(self.accepts.unattributed_reasoning, |wire| {
                        wire == self.wire
                    }),
                Part::ToolCall(_) | Part::ToolResult(_) if !self.accepts.tools => {
                    return Err(it.position.tools());
                }
                _ => true,
            };
            if taken {
                signed = matches!(it.part, Part::Reasoning(past) if past.on_text);
                parts.push(it);
            }
        }
        Ok(parts)
    }

    fn push_message(&mut self, message: &'a Message, parts: Vec<Placed<'a>>) {
        let role = own_role(message.role);
        let mut turn = Turn {
            role,
            name: message.name.as_deref(),
            parts,
        };
        let mut results = Vec::new();
        let mut own = true;
        if role == Role::User && self.accepts.results != ResultPlace::InTurn {
            (results, own) = self.take_results(&mut turn.parts);
        }
        if results.is_empty() {
            self.flush();
            self.push(turn);
            return;
        }
        self.push(Turn {
            role: Role::Tool,
            name: None,
            parts: results,
        });
        if let Some(pending) = &mut self.pending {
            pending.parts.append(&mut turn.parts);
            pending.name = turn.name;
        } else if !turn.parts.is_empty() {
            self.pending = Some(turn);
        }
        if own {
            self.flush();
        }
    }

    /// Takes the tool results and their marks out of a message, and returns true if the message has
    /// other parts of its own. Images and files of results stay behind if results contain text
    /// only.
    fn take_results(&self, parts: &mut Vec<Placed<'a>>) -> (Vec<Placed<'a>>, bool) {
        let (mut results, mut rest) = (Vec::new(), Vec::new());
        let (mut own, mut after_result) = (false, false);
        for it in std::mem::take(parts) {
            match it.part {
                Part::ToolResult(result) => {
                    results.push(it);
                    if self.accepts.results == ResultPlace::OwnTextOnly {
                        rest.extend(it.parts_of(result).filter(|it| !is_text_or_mark(it.part)));
                    }
                    after_result = true;
                }
                Part::CacheMark(_) if after_result => results.push(it),
                _ => {
                    rest.push(it);
                    (own, after_result) = (true, false);
                }
            }
        }
        *parts = rest;
        (results, own)
    }

    /// Adds the images and files of the tool results so far.
    fn flush(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.push(pending);
        }
    }

    fn push(&mut self, mut turn: Turn<'a>) {
        let is_empty = turn
            .parts
            .iter()
            .all(|it| matches!(it.part, Part::CacheMark(_)));
        match self.turns.last_mut() {
            _ if is_empty && self.accepts.texts != TextSupport::All => {}
            Some(last) if self.accepts.alternating && last.role == turn.role => {
                last.parts.append(&mut turn.parts);
            }
            _ => self.turns.push(turn),
        }
    }
}

/// Returns the role of the parts of a message besides tool results: those of a message of results
/// are the user's.
const fn own_role(role: Role) -> Role {
    match role {
        Role::Tool => Role::User,
        Role::System | Role::User | Role::Assistant => role,
    }
}

/// Returns OpenAI's name of a role.
pub(in crate::wire) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}
