//! Writes the conversation: messages in the client's order, each tool result as a message of its
//! own.
//!
//! Invariants: reasoning goes into the members of the model's message that the target reads; a
//! message that is a single text is written as a string, because every compatible server accepts
//! that form.

mod content;
mod reasoning;

use std::borrow::Cow;

use serde::Serialize;
use serde_with::skip_serializing_none;

use self::content::Content;
use self::reasoning::ReasoningFields;
use crate::model::chat::{Chat, Part, PastCall, PastReasoning, Role};
use crate::model::fault::Fault;
use crate::model::quirks::Hints;
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::kit::past_calls::call_id;
use crate::wire::kit::turns::{Turn, conversation, role_name};

pub(super) use self::content::CacheControl;

#[skip_serializing_none]
#[derive(Serialize, Default)]
pub(super) struct Message<'a> {
    role: &'static str,
    /// `null` if the model's message has only calls or a refusal.
    #[serialize_always]
    content: Option<Content<'a>>,
    name: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(flatten)]
    reasoning: ReasoningFields,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    tool_call_id: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Call<'a> {
    Function {
        id: Cow<'a, str>,
        function: CalledFunction<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<ExtraContent<'a>>,
    },
    Custom {
        id: Cow<'a, str>,
        custom: CalledTool<'a>,
    },
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct CalledTool<'a> {
    name: &'a str,
    input: &'a str,
}

/// `extra_content` of a call: the data that Google requires back with it.
#[derive(Serialize)]
struct ExtraContent<'a> {
    google: Google<'a>,
}

#[derive(Serialize)]
struct Google<'a> {
    thought_signature: &'a str,
}

/// Writes the messages of a conversation.
///
/// # Errors
/// A 400 with the position that this target does not take.
pub(super) fn write<'a>(chat: &'a Chat, target: &'a Target) -> Result<Vec<Message<'a>>, Fault> {
    let turns = conversation(chat, WireId::OpenaiChat, target.accepts())?.turns;
    let writer = Writer {
        target,
        has_tools: has_tools(chat),
    };
    let mut messages = Vec::with_capacity(turns.len());
    for turn in turns {
        if turn.role == Role::Tool {
            writer.push_results(&turn, &mut messages)?;
        } else {
            messages.push(writer.message(&turn)?);
        }
    }
    Ok(messages)
}

/// Returns true if the chat offers tools or contains tool calls.
fn has_tools(chat: &Chat) -> bool {
    let mut parts = chat.messages.iter().flat_map(|message| &message.parts);
    !chat.tools.is_empty() || parts.any(|part| matches!(part, Part::ToolCall(_)))
}

/// The properties of the target and the chat that decide the form of messages.
struct Writer<'a> {
    target: &'a Target,
    has_tools: bool,
}

impl<'a> Writer<'a> {
    /// Adds a message for each tool result of a turn.
    fn push_results(&self, turn: &Turn<'a>, messages: &mut Vec<Message<'a>>) -> Result<(), Fault> {
        let quirks = &self.target.provider.quirks;
        for placed in &turn.parts {
            match placed.part {
                Part::ToolResult(result) => {
                    let mut content = Content::default();
                    for part in placed.own_parts_of(result, quirks.accepts.results) {
                        content.push(part, quirks)?;
                    }
                    messages.push(Message {
                        role: role_name(Role::Tool),
                        content: Some(content),
                        tool_call_id: Some(call_id(&result.id, quirks.accepts.call_ids)),
                        ..Message::default()
                    });
                }
                // The mark after a result belongs to its content.
                _ => {
                    if let Some(content) = messages.last_mut().and_then(|it| it.content.as_mut()) {
                        content.push(*placed, quirks)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn message(&self, turn: &Turn<'a>) -> Result<Message<'a>, Fault> {
        let quirks = &self.target.provider.quirks;
        let mut message = Message {
            role: role_name(turn.role),
            name: quirks.lacks.unless(Hints::NAMES, turn.name),
            ..Message::default()
        };
        let mut content = Content::default();
        let mut thoughts: Vec<&PastReasoning> = Vec::new();
        for &placed in &turn.parts {
            match placed.part {
                Part::Reasoning(past) if turn.role == Role::Assistant => thoughts.push(past),
                Part::ToolCall(call) if turn.role == Role::Assistant => {
                    let id = call_id(&call.id, quirks.accepts.call_ids);
                    message.tool_calls.push(past_call(call, id));
                }
                // Without a field for refusals the text goes into the content.
                Part::Refusal(text) if !quirks.no_refusals => message.refusal = Some(text),
                _ => content.push(placed, quirks)?,
            }
        }
        let is_without_content =
            content.is_empty() && (message.refusal.is_some() || !message.tool_calls.is_empty());
        message.content = (!is_without_content).then_some(content);
        if turn.role == Role::Assistant {
            message.reasoning = self.reasoning(&thoughts);
        }
        Ok(message)
    }

    fn reasoning(&self, thoughts: &[&PastReasoning]) -> ReasoningFields {
        let form = self.target.provider.quirks.reasoning;
        reasoning::write(thoughts, form, self.target.upstream_model(), self.has_tools)
    }
}

fn past_call<'a>(call: &'a PastCall, id: Cow<'a, str>) -> Call<'a> {
    let (name, input) = (&*call.name, &*call.arguments);
    if call.custom {
        let custom = CalledTool { name, input };
        return Call::Custom { id, custom };
    }
    // `arguments` must be JSON, and a call without arguments may have an empty string.
    let arguments = if input.is_empty() { "{}" } else { input };
    let own = call.wire == Some(WireId::OpenaiChat);
    let signature = call.signature.as_deref().filter(|_| own);
    Call::Function {
        id,
        function: CalledFunction { name, arguments },
        extra_content: signature.map(|thought_signature| ExtraContent {
            google: Google { thought_signature },
        }),
    }
}
