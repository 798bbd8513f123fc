//! Writes the conversation: the system instruction, and turns of parts.
//!
//! Invariants: the results of a turn's calls stand together in a turn of their own directly after
//! it, because Gemini checks their number there; a signature goes back with the part that it
//! belongs to, and only if this wire made it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use crate::model::accepts::Accepts;
use crate::model::chat::{
    self, Chat, PastCall, PastReasoning, Role, ToolResult, tool_name_for_call,
};
use crate::model::fault::Fault;
use crate::model::ids::StreamId;
use crate::model::wire::WireId;
use crate::wire::kit::media::{self, Media};
use crate::wire::kit::past_calls::{arguments, call_id};
use crate::wire::kit::refusals::{self, Position};
use crate::wire::kit::turns::{Placed, conversation};

/// Signature that Google documents for calls that another model made. Gemini 3 rejects a turn whose
/// first call has no signature.
const FOREIGN_CALL_SIGNATURE: &str = "skip_thought_signature_validator";

/// A conversation in the shape of this wire.
pub(super) struct Conversation<'a> {
    pub(super) system: Option<Content<'a>>,
    pub(super) contents: Vec<Content<'a>>,
}

/// A turn, or the system instruction, which has no role.
#[skip_serializing_none]
#[derive(Serialize)]
pub(super) struct Content<'a> {
    role: Option<&'static str>,
    parts: Vec<Part<'a>>,
}

/// A part of a turn. Exactly one of the first four fields is set.
#[skip_serializing_none]
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    text: Option<&'a str>,
    inline_data: Option<Blob<'a>>,
    function_call: Option<FunctionCall<'a>>,
    function_response: Option<FunctionResponse<'a>>,
    thought: Option<bool>,
    thought_signature: Option<&'a str>,
}

/// Data in base64.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: Cow<'a, str>,
    data: &'a str,
}

#[skip_serializing_none]
#[derive(Serialize)]
struct FunctionCall<'a> {
    id: Option<Cow<'a, str>>,
    name: &'a str,
    args: Cow<'a, RawValue>,
}

#[skip_serializing_none]
#[derive(Serialize)]
struct FunctionResponse<'a> {
    id: Option<Cow<'a, str>>,
    name: &'a str,
    response: Response,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part<'a>>,
}

/// The content of a function's result. Gemini accepts only an object.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Response {
    /// Text of a successful result.
    Output(String),
    /// Text of a failed result.
    Error(String),
    /// The JSON object that the tool returned.
    #[serde(untagged)]
    Object(Box<RawValue>),
}

/// Writes a conversation.
///
/// # Errors
/// A 400 with the position that this wire cannot express, or if there is no content at all.
pub(super) fn write<'a>(chat: &'a Chat, accepts: &'a Accepts) -> Result<Conversation<'a>, Fault> {
    let content = |role, parts: Vec<Placed<'a>>| {
        let mut turn = TurnWriter::new(chat, accepts);
        parts.into_iter().try_for_each(|placed| turn.push(placed))?;
        let parts = turn.finish();
        Ok((!parts.is_empty()).then_some(Content { role, parts }))
    };
    let conversation = conversation(chat, WireId::Gemini, accepts)?;
    let mut contents = Vec::with_capacity(conversation.turns.len());
    for turn in conversation.turns {
        let role = if turn.role == Role::Assistant {
            "model"
        } else {
            "user"
        };
        contents.extend(content(Some(role), turn.parts)?);
    }
    if contents.is_empty() {
        return Err(refusals::no_messages());
    }
    Ok(Conversation {
        system: content(None, conversation.instructions)?,
        contents,
    })
}

impl Conversation<'_> {
    /// Adds [`FOREIGN_CALL_SIGNATURE`] to the first call of each turn if that call has no
    /// signature.
    pub(super) fn sign_foreign_calls(&mut self) {
        let is_result = |part: &Part<'_>| part.function_response.is_some();
        let is_user_message =
            |turn: &Content<'_>| turn.role == Some("user") && !turn.parts.iter().any(is_result);
        // Gemini validates signatures only after the user's last message.
        let last = self.contents.iter().rposition(is_user_message).unwrap_or(0);
        for turn in self.contents.iter_mut().skip(last) {
            let mut parts = turn.parts.iter_mut();
            if let Some(first) = parts.find(|part| part.function_call.is_some()) {
                first
                    .thought_signature
                    .get_or_insert(FOREIGN_CALL_SIGNATURE);
            }
        }
    }
}

/// Writes the parts of one turn.
struct TurnWriter<'a> {
    chat: &'a Chat,
    accepts: &'a Accepts,
    parts: Vec<Part<'a>>,
    /// The signature of the next text of its message, and the index of that message. The signature
    /// of a text precedes the text; see [`PastReasoning::on_text`].
    signature: Option<(usize, &'a str)>,
}

impl<'a> TurnWriter<'a> {
    fn new(chat: &'a Chat, accepts: &'a Accepts) -> Self {
        Self {
            chat,
            accepts,
            parts: Vec::new(),
            signature: None,
        }
    }

    fn push(&mut self, placed: Placed<'a>) -> Result<(), Fault> {
        let position = placed.position;
        // A turn may consist of several messages.
        if self.signature.is_some_and(|(at, _)| at != position.message) {
            self.push_signature();
        }
        let by_model = position.role == Role::Assistant;
        match placed.part {
            chat::Part::Text(text) => self.push_text(text),
            chat::Part::Refusal(text) => self.parts.extend(text_part(text)),
            chat::Part::CacheMark(_) => {}
            chat::Part::Reasoning(past) if by_model => self.push_reasoning(past, position),
            chat::Part::ToolCall(call) if by_model => {
                let call = self.call(call, position)?;
                self.parts.push(call);
            }
            chat::Part::ToolResult(result) if !by_model => {
                let result = self.result(result, placed)?;
                self.parts.push(result);
            }
            _ => self.parts.push(self.media(placed)?),
        }
        Ok(())
    }

    fn push_text(&mut self, text: &'a str) {
        match self.signature.take() {
            Some((_, signature)) => self.parts.push(signed_text(text, signature)),
            None => self.parts.extend(text_part(text)),
        }
    }

    /// Adds a thought, or keeps the signature of a text for the text after it. Unsigned thoughts are
    /// left out.
    fn push_reasoning(&mut self, past: &'a PastReasoning, position: Position) {
        let Some(signature) = past.signature.as_deref() else {
            return;
        };
        if past.on_text {
            // Two signatures without a text between them: the earlier one goes on an empty text.
            self.push_signature();
            self.signature = Some((position.message, signature));
        } else {
            self.parts.push(Part {
                thought: Some(true),
                ..signed_text(&past.text, signature)
            });
        }
    }

    /// Puts the kept signature on an empty text, which Gemini itself does if no text follows it.
    fn push_signature(&mut self) {
        let kept = self.signature.take();
        self.parts
            .extend(kept.map(|(_, signature)| signed_text("", signature)));
    }

    fn finish(mut self) -> Vec<Part<'a>> {
        self.push_signature();
        self.parts
    }

    fn call(&self, call: &'a PastCall, position: Position) -> Result<Part<'a>, Fault> {
        let own = call.wire == Some(WireId::Gemini);
        Ok(Part {
            function_call: Some(FunctionCall {
                id: self.id(&call.id),
                name: &call.name,
                args: arguments(call, position)?,
            }),
            thought_signature: call.signature.as_deref().filter(|_| own),
            ..Part::default()
        })
    }

    fn result(&self, result: &'a ToolResult, placed: Placed<'a>) -> Result<Part<'a>, Fault> {
        let name = result
            .name
            .as_deref()
            .or_else(|| tool_name_for_call(&self.chat.messages, &result.id))
            .ok_or_else(|| placed.position.unknown_call())?;
        let (mut text, mut parts) = (String::new(), Vec::new());
        for placed in placed.parts_of(result) {
            match placed.part {
                chat::Part::Text(more) => {
                    text.push_str(if text.is_empty() { "" } else { "\n" });
                    text.push_str(more);
                }
                chat::Part::CacheMark(_) => {}
                _ => parts.push(self.media(placed)?),
            }
        }
        Ok(Part {
            function_response: Some(FunctionResponse {
                id: self.id(&result.id),
                name,
                response: response(text, result.is_error),
                parts,
            }),
            ..Part::default()
        })
    }

    fn media(&self, placed: Placed<'a>) -> Result<Part<'a>, Fault> {
        let (part, position) = (placed.part, placed.position);
        let (mime_type, data) = match media::read(part, &self.accepts.media, position)? {
            Media::Image(data, _) | Media::File(data, _) => {
                (Cow::Borrowed(data.media_type), data.base64)
            }
            Media::Audio(data, format) => (Cow::Owned(format!("audio/{format}")), data),
            _ => return Err(position.misplaced(part)),
        };
        Ok(Part {
            inline_data: Some(Blob { mime_type, data }),
            ..Part::default()
        })
    }

    /// Returns the id, or `None` if it was made here because the provider sent none.
    fn id(&self, id: &'a str) -> Option<Cow<'a, str>> {
        // Without an id Gemini matches calls and results by name and order.
        let is_made = id
            .strip_prefix("call_")
            .and_then(|rest| rest.split_once('_'))
            .is_some_and(|(seed, _)| StreamId::parse(seed).is_some());
        (!is_made && !id.is_empty()).then(|| call_id(id, self.accepts.call_ids))
    }
}

/// Returns a text part, or `None` for empty text, which Gemini rejects.
fn text_part(text: &str) -> Option<Part<'_>> {
    (!text.is_empty()).then(|| Part {
        text: Some(text),
        ..Part::default()
    })
}

fn signed_text<'a>(text: &'a str, signature: &'a str) -> Part<'a> {
    Part {
        text: Some(text),
        thought_signature: Some(signature),
        ..Part::default()
    }
}

/// Returns the text of a result as an object: text that is none is wrapped in one.
fn response(text: String, is_error: bool) -> Response {
    if is_error {
        return Response::Error(text);
    }
    let trimmed = text.trim();
    let object: Option<&RawValue> = trimmed
        .starts_with('{')
        .then(|| serde_json::from_str(trimmed).ok())
        .flatten();
    match object {
        Some(object) => Response::Object(object.to_owned()),
        None => Response::Output(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::chat::{Message, Source};

    fn message(role: Role, parts: Vec<chat::Part>) -> Message {
        Message {
            role,
            name: None,
            parts,
        }
    }

    fn text(text: &str) -> chat::Part {
        chat::Part::Text(text.into())
    }

    fn call(id: &str, name: &str, arguments: &str, signed_by: Option<WireId>) -> chat::Part {
        let signature = signed_by.map(|_| "c2ln".to_owned());
        let (id, name, arguments) = (id.into(), name.into(), arguments.into());
        chat::Part::ToolCall(PastCall {
            id,
            name,
            arguments,
            signature,
            wire: signed_by,
            custom: false,
        })
    }

    fn result(id: &str, parts: Vec<chat::Part>, is_error: bool) -> chat::Part {
        chat::Part::ToolResult(ToolResult {
            id: id.into(),
            name: None,
            parts,
            is_error,
        })
    }

    fn thought(text: &str, wire: Option<WireId>, on_text: bool) -> chat::Part {
        chat::Part::Reasoning(PastReasoning {
            text: text.into(),
            signature: Some("c2ln".into()),
            redacted: None,
            wire,
            on_text,
        })
    }

    fn image(source: Source) -> chat::Part {
        chat::Part::Image {
            source,
            detail: Some("low".into()),
        }
    }

    fn data() -> Source {
        Source::Data {
            media_type: "image/png".into(),
            base64: "aA==".into(),
        }
    }

    /// Returns system instruction and turns of these messages.
    fn turns(messages: Vec<Message>) -> Value {
        written(messages, false).unwrap()
    }

    fn written(messages: Vec<Message>, sign: bool) -> Result<Value, Fault> {
        let chat = Chat {
            messages,
            ..Chat::default()
        };
        let accepts = Accepts::of(WireId::Gemini);
        let mut conversation = write(&chat, &accepts)?;
        if sign {
            conversation.sign_foreign_calls();
        }
        Ok(json!([conversation.system, conversation.contents]))
    }

    #[test]
    fn adjacent_messages_of_one_side_become_one_turn() {
        let turns = turns(vec![
            message(Role::System, vec![text("be"), text("")]),
            message(Role::User, vec![text("a")]),
            message(Role::System, vec![text("kind")]),
            message(Role::User, vec![text("b"), text("")]),
            message(Role::Assistant, vec![text("c")]),
            message(Role::Assistant, vec![chat::Part::Refusal("d".into())]),
        ]);
        let expected = json!([
            {"parts": [{"text": "be"}, {"text": "kind"}]},
            [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}, {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]}]
        ]);
        assert_eq!(turns, expected);
    }

    #[test]
    fn media_is_sent_inline() {
        let file = chat::Part::File {
            source: data(),
            filename: Some("a.png".into()),
        };
        let audio = chat::Part::Audio {
            data: "bQ==".into(),
            format: "mp3".into(),
        };
        let blob = json!({"inlineData": {"mimeType": "image/png", "data": "aA=="}});
        let sound = json!({"inlineData": {"mimeType": "audio/mp3", "data": "bQ=="}});
        let turns = turns(vec![message(Role::User, vec![image(data()), file, audio])]);
        assert_eq!(
            turns,
            json!([null, [{"role": "user", "parts": [blob, blob, sound]}]])
        );
    }

    #[test]
    fn results_form_one_turn_directly_after_their_calls() {
        let made = format!("call_{}_0", StreamId::random());
        let turns = turns(vec![
            message(Role::User, vec![text("go")]),
            message(
                Role::Assistant,
                vec![
                    call(&made, "a", r#"{"x": 1}"#, None),
                    call("b1", "b", "", None),
                ],
            ),
            message(
                Role::Tool,
                vec![result(&made, vec![text("5"), text("6")], false)],
            ),
            message(
                Role::Tool,
                vec![result("b1", vec![text(" {\"y\":2}"), image(data())], false)],
            ),
            message(
                Role::User,
                vec![text("and?"), result("b1", vec![text("{}")], true)],
            ),
        ]);
        let blob = json!({"inlineData": {"mimeType": "image/png", "data": "aA=="}});
        let expected = json!([null, [
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [
                {"functionCall": {"name": "a", "args": {"x": 1}}}, {"functionCall": {"id": "b1", "name": "b", "args": {}}}
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "a", "response": {"output": "5\n6"}}},
                {"functionResponse": {"id": "b1", "name": "b", "response": {"y": 2}, "parts": [blob]}},
                {"functionResponse": {"id": "b1", "name": "b", "response": {"error": "{}"}}}
            ]},
            {"role": "user", "parts": [{"text": "and?"}]}
        ]]);
        assert_eq!(turns, expected);
    }

    #[test]
    fn a_result_without_a_call_is_rejected() {
        let messages = vec![message(Role::Tool, vec![result("x", vec![], false)])];
        let fault = written(messages, false).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("messages[0]"));
    }

    #[test]
    fn signatures_go_back_to_this_wire_only() {
        let turns = turns(vec![message(
            Role::Assistant,
            vec![
                thought("hm", Some(WireId::Gemini), false),
                thought("foreign", Some(WireId::Anthropic), false),
                thought("unknown", None, true),
                thought("", Some(WireId::Gemini), true),
                text("said"),
                text("more"),
                call("x", "f", "{}", Some(WireId::Gemini)),
                call("y", "f", "{}", Some(WireId::Anthropic)),
                thought("", Some(WireId::Gemini), true),
            ],
        )]);
        let expected = json!([
            {"text": "hm", "thought": true, "thoughtSignature": "c2ln"},
            {"text": "said", "thoughtSignature": "c2ln"},
            {"text": "more"},
            {"functionCall": {"id": "x", "name": "f", "args": {}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "y", "name": "f", "args": {}}},
            {"text": "", "thoughtSignature": "c2ln"}
        ]);
        assert_eq!(turns[1][0]["parts"], expected);
    }

    #[test]
    fn the_signature_of_a_text_stays_in_its_message() {
        let turns = turns(vec![
            message(
                Role::Assistant,
                vec![thought("", Some(WireId::Gemini), true)],
            ),
            message(Role::Assistant, vec![text("other")]),
        ]);
        let expected = json!([{"text": "", "thoughtSignature": "c2ln"}, {"text": "other"}]);
        assert_eq!(turns[1][0]["parts"], expected);
    }

    #[test]
    fn unsigned_calls_of_the_current_turn_get_a_placeholder() {
        let messages = |wire: Option<WireId>| {
            let step = |id: &str| {
                let calls = vec![
                    call(id, "f", "{}", wire),
                    call(&format!("{id}2"), "f", "{}", None),
                ];
                [
                    message(Role::Assistant, calls),
                    message(Role::Tool, vec![result(id, vec![text("1")], false)]),
                ]
            };
            let mut all = vec![message(Role::User, vec![text("a")])];
            all.extend(step("x"));
            all.push(message(Role::User, vec![text("b")]));
            all.extend(step("y"));
            all
        };
        let signatures = |messages: Vec<Message>, sign: bool| -> Vec<Option<String>> {
            let turns = written(messages, sign).unwrap();
            let parts = turns[1]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|turn| turn["parts"].as_array().unwrap());
            let calls = parts.filter(|part| part.get("functionCall").is_some());
            calls
                .map(|part| {
                    part.get("thoughtSignature")
                        .map(|it| it.as_str().unwrap().to_owned())
                })
                .collect()
        };
        let placeholder = Some(FOREIGN_CALL_SIGNATURE.to_owned());
        assert_eq!(
            signatures(messages(None), true),
            [None, None, placeholder, None]
        );
        assert_eq!(signatures(messages(None), false), [None, None, None, None]);
        let own = Some("c2ln".to_owned());
        assert_eq!(
            signatures(messages(Some(WireId::Gemini)), true),
            [own.clone(), None, own, None]
        );
    }
}
