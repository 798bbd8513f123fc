//! The conversation: messages of typed parts.
//!
//! Invariants: the order stays; each tool result is a message of its own, before what else its turn
//! says; messages that say nothing are left out.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::speech::PLAN;
use crate::model::chat::{self, Part, PastCall, PastReasoning, ToolResult};
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::written::{Media, Place, arguments, filled, media, role};

#[derive(Serialize, Default)]
pub(super) struct Message<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    tool_plan: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

/// What a message holds: nothing but words goes as a string.
#[derive(Default)]
struct Content<'a>(Vec<Piece<'a>>);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [] => to.serialize_str(""),
            [Piece::Text { text }] => to.serialize_str(text),
            pieces => to.collect_seq(pieces),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    Text { text: Cow<'a, str> },
    Thinking { thinking: &'a str },
    ImageUrl { image_url: Link<'a> },
    Document { document: Document<'a> },
}

#[derive(Serialize)]
struct Link<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Document<'a> {
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
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

/// The messages of a conversation.
pub(super) fn of(messages: &[chat::Message]) -> Result<Vec<Message<'_>>, Fault> {
    let mut all = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        let place = Place {
            wire: WireId::Cohere,
            at,
        };
        let mut turn = Message {
            role: role(message.role),
            ..Message::default()
        };
        for part in &message.parts {
            match part {
                Part::ToolResult(result) => all.push(answer(result, place)?),
                part => turn.add(part, place)?,
            }
        }
        all.extend(Some(turn).filter(Message::says_something));
    }
    filled(all, WireId::Cohere)
}

fn answer(result: &ToolResult, place: Place) -> Result<Message<'_>, Fault> {
    let content = Some(Content::default());
    let mut answer = Message {
        role: "tool",
        tool_call_id: Some(&result.id),
        content,
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
            Part::Text(text) | Part::Refusal(text) => self.say(Cow::Borrowed(text)),
            Part::CacheMark(_) => {}
            Part::Reasoning(past) if self.role == "assistant" => self.thought(past),
            Part::ToolCall(call) if self.role == "assistant" => {
                self.tool_calls.push(past_call(call, place)?);
            }
            part => self.media(part, place)?,
        }
        Ok(())
    }

    fn put(&mut self, piece: Piece<'a>) {
        self.content.get_or_insert_default().0.push(piece);
    }

    fn say(&mut self, text: Cow<'a, str>) {
        if !text.is_empty() {
            self.put(Piece::Text { text });
        }
    }

    /// Thinking goes back only to the wire that made it, in the member it came in.
    fn thought(&mut self, past: &'a PastReasoning) {
        match past.signature.as_deref() {
            _ if past.wire != Some(WireId::Cohere) || past.on_text || past.text.is_empty() => {}
            Some(PLAN) => self.tool_plan.push_str(&past.text),
            _ => self.put(Piece::Thinking {
                thinking: &past.text,
            }),
        }
    }

    fn media(&mut self, part: &'a Part, place: Place) -> Result<(), Fault> {
        match media(part, place)? {
            Media::Words { title, text } if self.role == "tool" => {
                self.put(Piece::Document {
                    document: Document {
                        data: Data { title, text },
                    },
                });
            }
            Media::Words { title, text } => self.say(Media::told(title, &text).into()),
            _ if self.role != "user" => {
                return Err(place.untaken("takes images in user messages only"));
            }
            Media::Link(url) => self.picture(Cow::Borrowed(url), part),
            Media::Picture { media_type, base64 } => {
                self.picture(format!("data:{media_type};base64,{base64}").into(), part);
            }
        }
        Ok(())
    }

    fn picture(&mut self, url: Cow<'a, str>, part: &'a Part) {
        let detail = if let Part::Image { detail, .. } = part {
            detail.as_deref()
        } else {
            None
        };
        let detail = detail.filter(|it| matches!(*it, "auto" | "low" | "high"));
        self.put(Piece::ImageUrl {
            image_url: Link { url, detail },
        });
    }

    fn says_something(&self) -> bool {
        self.content.is_some() || !self.tool_plan.is_empty() || !self.tool_calls.is_empty()
    }
}

/// Arguments are the text of an object.
fn past_call(call: &PastCall, place: Place) -> Result<Call<'_>, Fault> {
    let arguments = match arguments(call, place)? {
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

    fn spelled(messages: &[chat::Message]) -> Value {
        json!(of(messages).unwrap())
    }

    #[test]
    fn words_are_strings_and_the_rest_are_parts() {
        let messages = [
            say(Role::System, vec![text("be"), text("kind")]),
            say(
                Role::User,
                vec![text("a"), text(""), Part::CacheMark(CacheMark::default())],
            ),
            say(Role::Assistant, vec![Part::Refusal("no".into())]),
            say(Role::User, vec![text("")]),
            say(
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
        assert_eq!(spelled(&messages), expected);
    }

    #[test]
    fn calls_and_their_answers() {
        let messages = [
            say(
                Role::Assistant,
                vec![
                    call("1", r#"{"x": 1}"#, false),
                    call("2", "", false),
                    call("3", "go", true),
                ],
            ),
            say(
                Role::Tool,
                vec![result("1", vec![text("r"), file("text/plain")])],
            ),
            say(
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
        assert_eq!(spelled(&messages), expected);
    }

    #[test]
    fn thinking_and_plans_go_back_to_their_maker_only() {
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
        let message = &spelled(&[say(Role::Assistant, parts)])[0];
        assert_eq!(
            message["content"],
            json!([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}])
        );
        assert_eq!(message["tool_plan"], "I will look.");
        let plan = spelled(&[say(
            Role::Assistant,
            vec![past("I will.", Some("tool_plan"), Some(WireId::Cohere))],
        )]);
        assert_eq!(plan, json!([{"role": "assistant", "tool_plan": "I will."}]));
    }

    #[test]
    fn what_messages_cannot_hold_is_refused_by_place() {
        for (message, words) in [
            (
                say(Role::Tool, vec![result("1", vec![picture(link(), None)])]),
                "user messages only",
            ),
            (
                say(Role::Assistant, vec![picture(data("image/png"), None)]),
                "user messages only",
            ),
            (
                say(Role::System, vec![picture(data("image/png"), None)]),
                "user messages only",
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
                say(Role::User, vec![file("application/pdf")]),
                "application/pdf",
            ),
            (say(Role::User, vec![call("1", "{}", false)]), "role"),
            (
                say(Role::User, vec![past("hm", None, Some(WireId::Cohere))]),
                "role",
            ),
            (
                say(Role::Tool, vec![result("1", vec![result("2", vec![])])]),
                "role",
            ),
            (
                say(Role::Assistant, vec![call("1", "[]", false)]),
                "JSON object",
            ),
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
            panic!("an empty chat says nothing")
        };
        assert_eq!(fault.param.as_deref(), Some("messages"));
    }
}
