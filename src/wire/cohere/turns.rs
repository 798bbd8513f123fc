//! Writes the conversation: messages of typed parts.
//!
//! Invariants: the order of messages is kept; each tool result is a message of its own, before the
//! rest of its turn; empty messages are left out.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_with::skip_serializing_none;

use super::shape::TOOL_PLAN;
use crate::model::accepts::{Accepts, MediaSupport};
use crate::model::chat::{Chat, Part, PastCall, PastReasoning, Role};
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::kit::media::{self, Media};
use crate::wire::kit::past_calls::arguments;
use crate::wire::kit::refusals::{self, Position};
use crate::wire::kit::turns::{Placed, conversation, role_name};

#[skip_serializing_none]
#[derive(Serialize, Default)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    tool_plan: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    tool_call_id: Option<&'a str>,
}

/// The content of a message; a single text is written as a string.
#[derive(Default)]
struct Content<'a>(Vec<ContentPart<'a>>);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [] => to.serialize_str(""),
            [ContentPart::Text { text }] => to.serialize_str(text),
            parts => to.collect_seq(parts),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentPart<'a> {
    Text { text: Cow<'a, str> },
    Thinking { thinking: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
    Document { document: Document<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Document<'a> {
    data: DocumentData<'a>,
}

#[derive(Serialize)]
struct DocumentData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    text: String,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
struct Call<'a> {
    id: &'a str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Cow<'a, str>,
}

/// Writes the messages of a conversation.
///
/// # Errors
/// A 400 with the position that this wire cannot express, or if there is no content at all.
pub(super) fn write<'a>(chat: &'a Chat, accepts: &Accepts) -> Result<Vec<Message<'a>>, Fault> {
    let mut all = Vec::with_capacity(chat.messages.len());
    for turn in conversation(chat, WireId::Cohere, accepts)?.turns {
        let mut message = Message::new(turn.role);
        for placed in turn.parts {
            match placed.part {
                Part::ToolResult(result) => {
                    let mut answer = Message {
                        tool_call_id: Some(&result.id),
                        // The API requires content, so an empty result has an empty string.
                        content: Some(Content::default()),
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
            Part::Text(text) | Part::Refusal(text) => self.push_text(Cow::Borrowed(text)),
            Part::CacheMark(_) => {}
            Part::Reasoning(past) if self.role == "assistant" => self.push_reasoning(past),
            Part::ToolCall(call) if self.role == "assistant" => {
                self.tool_calls.push(past_call(call, placed.position)?);
            }
            part => self.push_media(part, takes, placed.position)?,
        }
        Ok(())
    }

    fn push(&mut self, part: ContentPart<'a>) {
        self.content.get_or_insert_default().0.push(part);
    }

    fn push_text(&mut self, text: Cow<'a, str>) {
        if !text.is_empty() {
            self.push(ContentPart::Text { text });
        }
    }

    /// Adds past thinking in the member that contained it.
    fn push_reasoning(&mut self, past: &'a PastReasoning) {
        match past.signature.as_deref() {
            // A signature on text belongs to text.
            _ if past.on_text || past.text.is_empty() => {}
            // Several pieces of a plan form one text.
            Some(TOOL_PLAN) => self.tool_plan.push_str(&past.text),
            _ => self.push(ContentPart::Thinking {
                thinking: &past.text,
            }),
        }
    }

    fn push_media(
        &mut self,
        part: &'a Part,
        takes: &MediaSupport,
        position: Position,
    ) -> Result<(), Fault> {
        match media::read(part, takes, position)? {
            // A document keeps its title in a tool message; other messages accept text only.
            Media::Text(text, title) if self.role == "tool" => {
                self.push(ContentPart::Document {
                    document: Document {
                        data: DocumentData { title, text },
                    },
                });
            }
            Media::Text(text, title) => self.push_text(media::titled_text(text, title).into()),
            Media::ImageLink(url, detail) => self.push_image(Cow::Borrowed(url), detail),
            Media::Image(data, detail) => self.push_image(data.uri().into(), detail),
            _ => return Err(position.misplaced(part)),
        }
        Ok(())
    }

    fn push_image(&mut self, url: Cow<'a, str>, detail: Option<&'a str>) {
        // A detail that the API does not know is a hint and is left out.
        let detail = detail.filter(|it| matches!(*it, "auto" | "low" | "high"));
        self.push(ContentPart::ImageUrl {
            image_url: ImageUrl { url, detail },
        });
    }

    fn has_content(&self) -> bool {
        self.content.is_some() || !self.tool_plan.is_empty() || !self.tool_calls.is_empty()
    }
}

/// Writes a past tool call, whose arguments must be the text of a JSON object.
fn past_call(call: &PastCall, position: Position) -> Result<Call<'_>, Fault> {
    let arguments = match arguments(call, position)? {
        Cow::Borrowed(json) => Cow::Borrowed(json.get()),
        Cow::Owned(json) => Cow::Owned(json.get().to_owned()),
    };
    Ok(Call {
        id: &call.id,
        function: Function {
            name: &call.name,
            arguments,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::chat::{self, CacheMark, Source, ToolResult};

    fn chat_message(role: Role, parts: Vec<Part>) -> chat::Message {
        chat::Message {
            role,
            name: Some("ann".into()),
            parts,
        }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    fn picture(source: Source, detail: Option<&str>) -> Part {
        Part::Image {
            source,
            detail: detail.map(Into::into),
        }
    }

    fn data(media_type: &str) -> Source {
        Source::Data {
            media_type: media_type.into(),
            base64: "w6k=".into(),
        }
    }

    fn file(media_type: &str) -> Part {
        Part::File {
            source: data(media_type),
            filename: Some("notes".into()),
        }
    }

    fn link() -> Source {
        Source::Url("https://a.example/b.png".into())
    }

    fn call(id: &str, arguments: &str, custom: bool) -> Part {
        let (id, arguments) = (id.into(), arguments.into());
        Part::ToolCall(PastCall {
            id,
            name: "f".into(),
            arguments,
            signature: None,
            wire: None,
            custom,
        })
    }

    fn result(id: &str, parts: Vec<Part>) -> Part {
        Part::ToolResult(ToolResult {
            id: id.into(),
            name: Some("f".into()),
            parts,
            is_error: true,
        })
    }

    fn past(text: &str, member: Option<&str>, wire: Option<WireId>) -> Part {
        Part::Reasoning(PastReasoning {
            text: text.into(),
            signature: member.map(Into::into),
            redacted: None,
            wire,
            on_text: false,
        })
    }

    fn written(messages: &[chat::Message]) -> Value {
        let chat = Chat {
            messages: messages.to_vec(),
            ..Chat::default()
        };
        json!(super::write(&chat, &Accepts::of(WireId::Cohere)).unwrap())
    }

    #[test]
    fn a_single_text_is_a_string_and_other_content_is_parts() {
        let messages = [
            chat_message(Role::System, vec![text("be"), text("kind")]),
            chat_message(
                Role::User,
                vec![text("a"), text(""), Part::CacheMark(CacheMark::default())],
            ),
            chat_message(Role::Assistant, vec![Part::Refusal("no".into())]),
            chat_message(Role::User, vec![text("")]),
            chat_message(
                Role::User,
                vec![
                    text("b"),
                    picture(link(), Some("low")),
                    picture(data("image/png"), Some("odd")),
                    file("text/markdown"),
                ],
            ),
        ];
        let piece = |text: &str| json!({"type": "text", "text": text});
        let expected = json!([
            {"role": "system", "content": [piece("be"), piece("kind")]},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "no"},
            {"role": "user", "content": [
                piece("b"),
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,w6k="}},
                piece("notes:\né")]},
        ]);
        assert_eq!(written(&messages), expected);
    }

    #[test]
    fn tool_calls_and_results_are_written_in_order() {
        let messages = [
            chat_message(
                Role::Assistant,
                vec![
                    call("1", r#"{"x": 1}"#, false),
                    call("2", "", false),
                    call("3", "go", true),
                ],
            ),
            chat_message(
                Role::Tool,
                vec![result("1", vec![text("r"), file("text/plain")])],
            ),
            chat_message(
                Role::User,
                vec![
                    text("and?"),
                    result("2", vec![]),
                    result("3", vec![text("s")]),
                ],
            ),
        ];
        let function = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
        let document =
            json!({"type": "document", "document": {"data": {"title": "notes", "text": "é"}}});
        let expected = json!([
            {"role": "assistant", "tool_calls": [function("1", r#"{"x": 1}"#), function("2", "{}"), function("3", r#"{"input":"go"}"#)]},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r"}, document]},
            {"role": "tool", "tool_call_id": "2", "content": ""},
            {"role": "tool", "tool_call_id": "3", "content": "s"},
            {"role": "user", "content": "and?"},
        ]);
        assert_eq!(written(&messages), expected);
    }

    #[test]
    fn thinking_and_plans_are_sent_to_their_own_wire_only() {
        let parts = vec![
            past("hm", Some("thinking"), Some(WireId::Cohere)),
            past("", Some("thinking"), Some(WireId::Cohere)),
            past("foreign", Some("S"), Some(WireId::Anthropic)),
            past("nobody's", None, None),
            text("ok"),
            past("I will ", Some("tool_plan"), Some(WireId::Cohere)),
            past("look.", Some("tool_plan"), Some(WireId::Cohere)),
            call("1", "{}", false),
        ];
        let message = &written(&[chat_message(Role::Assistant, parts)])[0];
        assert_eq!(
            message["content"],
            json!([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}])
        );
        assert_eq!(message["tool_plan"], "I will look.");
        let plan = written(&[chat_message(
            Role::Assistant,
            vec![past("I will.", Some("tool_plan"), Some(WireId::Cohere))],
        )]);
        assert_eq!(plan, json!([{"role": "assistant", "tool_plan": "I will."}]));
    }
}
