//! Writes the conversation: messages whose content is one string, with images in a separate list.
//!
//! Invariants: the order is kept; each tool result becomes a message of its own, placed before the
//! other parts of its turn; messages without content are left out.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use crate::model::accepts::{Accepts, MediaSupport};
use crate::model::chat::{Chat, Part, PastReasoning, Role, tool_name_for_call};
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::kit::media::{self, Media};
use crate::wire::kit::past_calls::arguments;
use crate::wire::kit::refusals;
use crate::wire::kit::turns::{Placed, conversation, role_name};

#[skip_serializing_none]
#[derive(Serialize, Default)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thinking: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    tool_name: Option<&'a str>,
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Cow<'a, RawValue>,
}

/// Returns the messages of a conversation in this wire's form.
///
/// # Errors
/// A 400 with the position that this wire cannot express, or if there is no content at all.
pub(super) fn write<'a>(chat: &'a Chat, accepts: &Accepts) -> Result<Vec<Message<'a>>, Fault> {
    let mut all = Vec::with_capacity(chat.messages.len());
    for turn in conversation(chat, WireId::Ollama, accepts)?.turns {
        let mut message = Message::new(turn.role);
        for placed in turn.parts {
            match placed.part {
                Part::ToolResult(result) => {
                    let mut answer = Message {
                        // Most dialects name the tool on the call only, and this wire wants the
                        // name on the result.
                        tool_name: result
                            .name
                            .as_deref()
                            .or_else(|| tool_name_for_call(&chat.messages, &result.id)),
                        tool_call_id: Some(&result.id),
                        ..Message::new(Role::Tool)
                    };
                    for part in placed.parts_of(result) {
                        answer.push_part(part, &accepts.media)?;
                    }
                    all.push(answer);
                }
                _ => message.push_part(placed, &accepts.media)?,
            }
        }
        all.extend(Some(message).filter(Message::has_content));
    }
    // An empty list would only load the model, without an answer.
    if all.is_empty() {
        return Err(refusals::no_messages());
    }
    Ok(all)
}

impl<'a> Message<'a> {
    fn new(role: Role) -> Self {
        Self {
            role: role_name(role),
            ..Self::default()
        }
    }

    fn push_part(&mut self, placed: Placed<'a>, takes: &MediaSupport) -> Result<(), Fault> {
        match placed.part {
            Part::Text(text) | Part::Refusal(text) => self.push_text(text),
            // Ollama caches prompts by itself.
            Part::CacheMark(_) => {}
            Part::Reasoning(past) if self.role == "assistant" => self.push_thinking(past),
            Part::ToolCall(call) if self.role == "assistant" => self.tool_calls.push(Call {
                id: &call.id,
                function: Function {
                    name: &call.name,
                    arguments: arguments(call, placed.position)?,
                },
            }),
            part => match media::read(part, takes, placed.position)? {
                Media::Image(data, _) => self.images.push(data.base64),
                // This wire has no files, so a text file becomes part of the content.
                Media::Text(text, title) => self.push_text(&media::titled_text(text, title)),
                _ => return Err(placed.position.misplaced(part)),
            },
        }
        Ok(())
    }

    /// Appends text to the content. The model's own text parts are fragments of one text and are
    /// joined directly; those of other roles are separate paragraphs.
    fn push_text(&mut self, text: &str) {
        if !self.content.is_empty() && !text.is_empty() && self.role != "assistant" {
            self.content.push('\n');
        }
        self.content.push_str(text);
    }

    /// Appends thinking. A signature on text belongs to text.
    fn push_thinking(&mut self, past: &PastReasoning) {
        if !past.on_text {
            self.thinking.push_str(&past.text);
        }
    }

    fn has_content(&self) -> bool {
        !(self.content.is_empty()
            && self.thinking.is_empty()
            && self.images.is_empty()
            && self.tool_calls.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::chat::{self, CacheMark, PastCall, Source, ToolResult};

    fn message(role: Role, parts: Vec<Part>) -> chat::Message {
        chat::Message {
            role,
            name: Some("ann".into()),
            parts,
        }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    fn picture(source: Source) -> Part {
        Part::Image {
            source,
            detail: Some("low".into()),
        }
    }

    fn data(media_type: &str) -> Source {
        Source::Data {
            media_type: media_type.into(),
            base64: "w6k=".into(),
        }
    }

    fn call(id: &str, arguments: &str) -> Part {
        let (id, arguments) = (id.into(), arguments.into());
        Part::ToolCall(PastCall {
            id,
            name: "f".into(),
            arguments,
            signature: None,
            wire: None,
            custom: false,
        })
    }

    fn result(id: &str, name: Option<&str>, parts: Vec<Part>) -> Part {
        Part::ToolResult(ToolResult {
            id: id.into(),
            name: name.map(Into::into),
            parts,
            is_error: true,
        })
    }

    fn reasoning(text: &str, wire: Option<WireId>, on_text: bool) -> Part {
        Part::Reasoning(PastReasoning {
            text: text.into(),
            signature: Some("thinking".into()),
            redacted: None,
            wire,
            on_text,
        })
    }

    fn written(conversation: &[chat::Message]) -> Value {
        let chat = Chat {
            messages: conversation.to_vec(),
            ..Chat::default()
        };
        json!(write(&chat, &Accepts::of(WireId::Ollama)).unwrap())
    }

    #[test]
    fn text_parts_become_one_string() {
        let messages = [
            message(Role::System, vec![text("be"), text("kind")]),
            message(
                Role::User,
                vec![
                    text("a"),
                    text(""),
                    Part::CacheMark(CacheMark::default()),
                    text("b"),
                ],
            ),
            message(
                Role::Assistant,
                vec![text("c"), text("d"), Part::Refusal("e".into())],
            ),
            message(Role::User, vec![text("")]),
            message(Role::User, vec![]),
        ];
        let expected = json!([
            {"role": "system", "content": "be\nkind"},
            {"role": "user", "content": "a\nb"},
            {"role": "assistant", "content": "cde"},
        ]);
        assert_eq!(written(&messages), expected);
    }

    #[test]
    fn images_go_into_their_own_list_and_text_files_into_the_content() {
        let file = Part::File {
            source: data("text/markdown"),
            filename: Some("notes".into()),
        };
        let messages = [message(
            Role::User,
            vec![picture(data("image/png")), text("look"), file],
        )];
        assert_eq!(
            written(&messages),
            json!([{"role": "user", "content": "look\nnotes:\né", "images": ["w6k="]}])
        );
    }

    #[test]
    fn tool_calls_and_results_are_written() {
        let messages = [
            message(
                Role::Assistant,
                vec![text("ok"), call("1", r#"{"x": 1}"#), call("2", "")],
            ),
            message(
                Role::Tool,
                vec![result(
                    "1",
                    None,
                    vec![text("r"), picture(data("image/png"))],
                )],
            ),
            message(
                Role::User,
                vec![
                    text("and?"),
                    result("2", Some("g"), vec![]),
                    result("9", None, vec![text("s")]),
                ],
            ),
        ];
        let expected = json!([
            {"role": "assistant", "content": "ok", "tool_calls": [
                {"id": "1", "function": {"name": "f", "arguments": {"x": 1}}}, {"id": "2", "function": {"name": "f", "arguments": {}}}]},
            {"role": "tool", "content": "r", "images": ["w6k="], "tool_name": "f", "tool_call_id": "1"},
            {"role": "tool", "content": "", "tool_name": "g", "tool_call_id": "2"},
            {"role": "tool", "content": "s", "tool_call_id": "9"},
            {"role": "user", "content": "and?"},
        ]);
        assert_eq!(written(&messages), expected);
    }

    #[test]
    fn thinking_goes_back_to_this_wire_only() {
        let parts = vec![
            reasoning("let ", Some(WireId::Ollama), false),
            reasoning("me see", Some(WireId::Ollama), false),
            reasoning("foreign", Some(WireId::Anthropic), false),
            reasoning("nobody's", None, false),
            reasoning("", Some(WireId::Gemini), true),
            text("ok"),
        ];
        let expected = json!([{"role": "assistant", "content": "ok", "thinking": "let me see"}]);
        assert_eq!(written(&[message(Role::Assistant, parts)]), expected);
    }
}
