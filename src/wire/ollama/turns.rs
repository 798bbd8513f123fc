//! The conversation: messages whose content is one string, pictures beside it.
//!
//! Invariants: the order stays; each tool result is a message of its own, before what else its turn
//! says; messages that say nothing are left out.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::chat::{self, Part, PastCall, PastReasoning, ToolResult, tool_name_of};
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::written::{Media, Place, arguments, filled, media, role};

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

/// The messages of a conversation.
pub(super) fn of(messages: &[chat::Message]) -> Result<Vec<Message<'_>>, Fault> {
    let mut all = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        let place = Place {
            wire: WireId::Ollama,
            at,
        };
        let mut turn = Message {
            role: role(message.role),
            ..Message::default()
        };
        for part in &message.parts {
            match part {
                Part::ToolResult(result) => all.push(answer(result, messages, place)?),
                part => turn.add(part, place)?,
            }
        }
        all.extend(Some(turn).filter(Message::says_something));
    }
    filled(all, WireId::Ollama)
}

fn answer<'a>(
    result: &'a ToolResult,
    messages: &'a [chat::Message],
    place: Place,
) -> Result<Message<'a>, Fault> {
    let tool_name = result
        .name
        .as_deref()
        .or_else(|| tool_name_of(messages, &result.id));
    let mut answer = Message {
        role: "tool",
        tool_name,
        tool_call_id: Some(&result.id),
        ..Message::default()
    };
    result
        .parts
        .iter()
        .try_for_each(|part| answer.add(part, place))?;
    Ok(answer)
}

impl<'a> Message<'a> {
    fn add(&mut self, part: &'a Part, place: Place) -> Result<(), Fault> {
        match part {
            Part::Text(text) | Part::Refusal(text) => self.say(text),
            Part::CacheMark(_) => {}
            Part::Reasoning(past) if self.role == "assistant" => self.thought(past),
            Part::ToolCall(call) if self.role == "assistant" => {
                self.tool_calls.push(past_call(call, place)?);
            }
            part => self.media(part, place)?,
        }
        Ok(())
    }

    /// The pieces of the model's own text go on where they were cut; those of others are
    /// paragraphs.
    fn say(&mut self, text: &str) {
        if !self.content.is_empty() && !text.is_empty() && self.role != "assistant" {
            self.content.push('\n');
        }
        self.content.push_str(text);
    }

    /// Thinking goes back only to the wire that made it.
    fn thought(&mut self, past: &PastReasoning) {
        if past.wire == Some(WireId::Ollama) && !past.on_text {
            self.thinking.push_str(&past.text);
        }
    }

    fn media(&mut self, part: &'a Part, place: Place) -> Result<(), Fault> {
        match media(part, place)? {
            Media::Words { title, text } => self.say(&Media::told(title, &text)),
            Media::Link(_) => {
                return Err(place.untaken(
                    "takes no links to images, and links are not fetched here; send a data URI",
                ));
            }
            Media::Picture { .. } if !matches!(self.role, "user" | "tool") => {
                return Err(place.untaken("takes images in user and tool messages only"));
            }
            Media::Picture { base64, .. } => self.images.push(base64),
        }
        Ok(())
    }

    fn says_something(&self) -> bool {
        !(self.content.is_empty()
            && self.thinking.is_empty()
            && self.images.is_empty()
            && self.tool_calls.is_empty())
    }
}

fn past_call(call: &PastCall, place: Place) -> Result<Call<'_>, Fault> {
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

    fn say(role: Role, parts: Vec<Part>) -> chat::Message {
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

    fn past(text: &str, wire: Option<WireId>, on_text: bool) -> Part {
        Part::Reasoning(PastReasoning {
            text: text.into(),
            signature: Some("thinking".into()),
            redacted: None,
            wire,
            on_text,
        })
    }

    fn spelled(messages: &[chat::Message]) -> Value {
        json!(of(messages).unwrap())
    }

    #[test]
    fn everything_said_is_one_string() {
        let messages = [
            say(Role::System, vec![text("be"), text("kind")]),
            say(
                Role::User,
                vec![
                    text("a"),
                    text(""),
                    Part::CacheMark(CacheMark::default()),
                    text("b"),
                ],
            ),
            say(
                Role::Assistant,
                vec![text("c"), text("d"), Part::Refusal("e".into())],
            ),
            say(Role::User, vec![text("")]),
            say(Role::User, vec![]),
        ];
        let expected = json!([
            {"role": "system", "content": "be\nkind"},
            {"role": "user", "content": "a\nb"},
            {"role": "assistant", "content": "cde"},
        ]);
        assert_eq!(spelled(&messages), expected);
    }

    #[test]
    fn pictures_stand_beside_the_words_and_files_among_them() {
        let file = Part::File {
            source: data("text/markdown"),
            filename: Some("notes".into()),
        };
        let messages = [say(
            Role::User,
            vec![picture(data("image/png")), text("look"), file],
        )];
        assert_eq!(
            spelled(&messages),
            json!([{"role": "user", "content": "look\nnotes:\né", "images": ["w6k="]}])
        );
    }

    #[test]
    fn calls_and_their_answers() {
        let messages = [
            say(
                Role::Assistant,
                vec![text("ok"), call("1", r#"{"x": 1}"#), call("2", "")],
            ),
            say(
                Role::Tool,
                vec![result(
                    "1",
                    None,
                    vec![text("r"), picture(data("image/png"))],
                )],
            ),
            say(
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
        assert_eq!(spelled(&messages), expected);
    }

    #[test]
    fn thinking_goes_back_to_its_maker_only() {
        let parts = vec![
            past("let ", Some(WireId::Ollama), false),
            past("me see", Some(WireId::Ollama), false),
            past("foreign", Some(WireId::Anthropic), false),
            past("nobody's", None, false),
            past("", Some(WireId::Gemini), true),
            text("ok"),
        ];
        let expected = json!([{"role": "assistant", "content": "ok", "thinking": "let me see"}]);
        assert_eq!(spelled(&[say(Role::Assistant, parts)]), expected);
    }

    #[test]
    fn what_messages_cannot_hold_is_refused_by_place() {
        let link = || picture(Source::Url("https://a.example/b.png".into()));
        for (message, words) in [
            (say(Role::User, vec![link()]), "links"),
            (
                say(Role::Tool, vec![result("1", None, vec![link()])]),
                "links",
            ),
            (
                say(Role::Assistant, vec![picture(data("image/png"))]),
                "user and tool",
            ),
            (
                say(Role::System, vec![picture(data("image/png"))]),
                "user and tool",
            ),
            (
                say(
                    Role::User,
                    vec![Part::Audio {
                        data: "AA==".into(),
                        format: "wav".into(),
                    }],
                ),
                "audio",
            ),
            (
                say(
                    Role::User,
                    vec![Part::File {
                        source: data("application/pdf"),
                        filename: None,
                    }],
                ),
                "application/pdf",
            ),
            (say(Role::User, vec![call("1", "{}")]), "role"),
            (
                say(Role::User, vec![past("hm", Some(WireId::Ollama), false)]),
                "role",
            ),
            (
                say(
                    Role::Tool,
                    vec![result("1", None, vec![result("2", None, vec![])])],
                ),
                "role",
            ),
            (say(Role::Assistant, vec![call("1", "[]")]), "JSON object"),
        ] {
            let Err(fault) = of(&[say(Role::User, vec![text("a")]), message]) else {
                panic!("{words}")
            };
            assert_eq!(
                (fault.status.as_u16(), fault.param.as_deref()),
                (400, Some("messages[1]")),
                "{words}"
            );
            assert!(fault.message.contains(words), "{}", fault.message);
        }
        let Err(fault) = of(&[say(Role::User, vec![])]) else {
            panic!("an empty chat only loads the model")
        };
        assert_eq!(fault.param.as_deref(), Some("messages"));
    }
}
