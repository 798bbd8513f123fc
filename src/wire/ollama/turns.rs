//! Writes the conversation: messages whose content is one string, with images in a separate list.
//!
//! Invariants: the order is kept; each tool result becomes a message of its own, placed before the
//! other parts of its turn; messages without content are left out.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::chat::{self, Part, PastCall, PastReasoning, ToolResult, tool_name_for_call};
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::openai_like::{Media, MessagePosition, arguments, media, require_messages, role};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
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
/// A 400 that names the message this wire cannot express, or that has no content at all.
pub(super) fn messages(messages: &[chat::Message]) -> Result<Vec<Message<'_>>, Fault> {
    let mut all = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        let place = MessagePosition {
            wire: WireId::Ollama,
            at,
        };
        let mut turn = Message {
            role: role(message.role),
            ..Message::default()
        };
        for part in &message.parts {
            match part {
                Part::ToolResult(result) => all.push(tool_result(result, messages, place)?),
                part => turn.push_part(part, place)?,
            }
        }
        all.extend(Some(turn).filter(Message::has_content));
    }
    // An empty list would only load the model, without an answer.
    require_messages(all, WireId::Ollama)
}

fn tool_result<'a>(
    result: &'a ToolResult,
    messages: &'a [chat::Message],
    place: MessagePosition,
) -> Result<Message<'a>, Fault> {
    // Most dialects name the tool on the call only, and this wire wants the name on the result.
    let tool_name = result
        .name
        .as_deref()
        .or_else(|| tool_name_for_call(messages, &result.id));
    let mut message = Message {
        role: "tool",
        tool_name,
        tool_call_id: Some(&result.id),
        ..Message::default()
    };
    result
        .parts
        .iter()
        .try_for_each(|part| message.push_part(part, place))?;
    Ok(message)
}

impl<'a> Message<'a> {
    fn push_part(&mut self, part: &'a Part, place: MessagePosition) -> Result<(), Fault> {
        match part {
            Part::Text(text) | Part::Refusal(text) => self.push_text(text),
            // Ollama caches prompts by itself.
            Part::CacheMark(_) => {}
            Part::Reasoning(past) if self.role == "assistant" => self.push_thinking(past),
            Part::ToolCall(call) if self.role == "assistant" => {
                self.tool_calls.push(past_call(call, place)?);
            }
            // Rejects every part that is neither text nor media, such as a call in a user message.
            part => self.push_media(part, place)?,
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

    /// Appends thinking, if this wire made it: another provider's reasoning is not sent to it.
    fn push_thinking(&mut self, past: &PastReasoning) {
        if past.wire == Some(WireId::Ollama) && !past.on_text {
            self.thinking.push_str(&past.text);
        }
    }

    fn push_media(&mut self, part: &'a Part, place: MessagePosition) -> Result<(), Fault> {
        match media(part, place)? {
            // This wire has no files, so a text file becomes part of the content.
            Media::Text { title, text } => self.push_text(&Media::titled_text(title, &text)),
            Media::Link(_) => {
                return Err(place.unsupported(
                    "does not accept links to images, and links are not fetched here; \
                     send a data URI",
                ));
            }
            Media::Image { .. } if !matches!(self.role, "user" | "tool") => {
                return Err(place.unsupported(
                    "accepts images in user and tool messages only; move the image to one",
                ));
            }
            Media::Image { base64, .. } => self.images.push(base64),
        }
        Ok(())
    }

    fn has_content(&self) -> bool {
        !(self.content.is_empty()
            && self.thinking.is_empty()
            && self.images.is_empty()
            && self.tool_calls.is_empty())
    }
}

fn past_call(call: &PastCall, place: MessagePosition) -> Result<Call<'_>, Fault> {
    Ok(Call {
        id: &call.id,
        function: Function {
            name: &call.name,
            arguments: arguments(call, place)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::chat::{CacheMark, Role, Source};

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
        json!(messages(conversation).unwrap())
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

    #[test]
    fn unsupported_parts_are_rejected_by_message_index() {
        let link = || picture(Source::Url("https://a.example/b.png".into()));
        for (wrong, words) in [
            (message(Role::User, vec![link()]), "links"),
            (
                message(Role::Tool, vec![result("1", None, vec![link()])]),
                "links",
            ),
            (
                message(Role::Assistant, vec![picture(data("image/png"))]),
                "user and tool",
            ),
            (
                message(Role::System, vec![picture(data("image/png"))]),
                "user and tool",
            ),
            (
                message(
                    Role::User,
                    vec![Part::Audio {
                        data: "AA==".into(),
                        format: "wav".into(),
                    }],
                ),
                "audio",
            ),
            (
                message(
                    Role::User,
                    vec![Part::File {
                        source: data("application/pdf"),
                        filename: None,
                    }],
                ),
                "application/pdf",
            ),
            (message(Role::User, vec![call("1", "{}")]), "role"),
            (
                message(
                    Role::User,
                    vec![reasoning("hm", Some(WireId::Ollama), false)],
                ),
                "role",
            ),
            (
                message(
                    Role::Tool,
                    vec![result("1", None, vec![result("2", None, vec![])])],
                ),
                "role",
            ),
            (
                message(Role::Assistant, vec![call("1", "[]")]),
                "JSON object",
            ),
        ] {
            let Err(fault) = super::messages(&[message(Role::User, vec![text("a")]), wrong]) else {
                panic!("{words}")
            };
            assert_eq!(
                (fault.status.as_u16(), fault.param.as_deref()),
                (400, Some("messages[1]")),
                "{words}"
            );
            assert!(fault.message.contains(words), "{}", fault.message);
        }
        let Err(fault) = super::messages(&[message(Role::User, vec![])]) else {
            panic!("an empty chat only loads the model")
        };
        assert_eq!(fault.param.as_deref(), Some("messages"));
    }
}
