//! Writes the turns of a chat as `systemInstruction` and `contents`.
//!
//! Invariants: adjacent messages of one side become one turn; the results of a turn's calls stand
//! together in a turn of their own directly after it, because Gemini checks their number there.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::ask::{
    Args, Blob, Content, FunctionCall, FunctionResponse, Part, Response, requires_signatures,
};
use crate::model::chat::{
    self, Chat, Message, PastCall, PastReasoning, Role, Source, ToolResult, tool_name_for_call,
};
use crate::model::fault::Fault;
use crate::model::ids::StreamId;
use crate::model::wire::WireId;

/// Signature that Google documents for calls that another model made. Gemini 3 rejects a turn whose
/// first call has no signature.
const FOREIGN_CALL_SIGNATURE: &str = "skip_thought_signature_validator";

type Turns<'a> = (Option<Content<'a>>, Vec<Content<'a>>);

/// Returns the system instruction and the turns.
///
/// # Errors
/// A 400 that names the message this wire cannot express, or `messages` if there is no turn.
pub(super) fn contents<'a>(chat: &'a Chat, model: &str) -> Result<Turns<'a>, Fault> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for (at, message) in chat.messages.iter().enumerate() {
        let position = Position { chat, at };
        match message.role {
            Role::System => position.instructions(message, &mut system)?,
            _ => position.message(message, &mut turns)?,
        }
    }
    if turns.is_empty() {
        let message = "messages: this model's provider (gemini) needs at least one message with \
                       content besides system messages";
        return Err(Fault::invalid("messages", message));
    }
    if requires_signatures(model) {
        sign_foreign_calls(&mut turns);
    }
    Ok((
        (!system.is_empty()).then_some(Content {
            role: None,
            parts: system,
        }),
        turns,
    ))
}

/// Adds [`FOREIGN_CALL_SIGNATURE`] to the first call of each turn if that call has no signature.
fn sign_foreign_calls(turns: &mut [Content<'_>]) {
    let is_user_message = |turn: &Content<'_>| {
        turn.role == Some("user")
            && !turn
                .parts
                .iter()
                .any(|part| part.function_response.is_some())
    };
    // Gemini validates signatures only after the user's last message.
    let last = turns.iter().rposition(is_user_message).unwrap_or(0);
    for turn in turns.iter_mut().skip(last) {
        if let Some(first) = turn
            .parts
            .iter_mut()
            .find(|part| part.function_call.is_some())
        {
            first
                .thought_signature
                .get_or_insert(FOREIGN_CALL_SIGNATURE);
        }
    }
}

/// The position of a message in its chat, for error messages and lookups.
#[derive(Clone, Copy)]
struct Position<'a> {
    chat: &'a Chat,
    at: usize,
}

impl<'a> Position<'a> {
    fn fault(self, what: &str) -> Fault {
        let field = format!("messages[{}]", self.at);
        Fault::invalid(&field, format!("{field}: {what}"))
    }

    fn instructions(self, message: &'a Message, parts: &mut Vec<Part<'a>>) -> Result<(), Fault> {
        for part in &message.parts {
            match part {
                chat::Part::Text(text) => parts.extend(text_part(text)),
                chat::Part::CacheMark(_) => {}
                _ => {
                    return Err(self.fault(
                        "this model's provider (gemini) accepts only text in system messages",
                    ));
                }
            }
        }
        Ok(())
    }

    fn message(self, message: &'a Message, turns: &mut Vec<Content<'a>>) -> Result<(), Fault> {
        let role = if message.role == Role::Assistant {
            "model"
        } else {
            "user"
        };
        let (mut results, mut parts) = (Vec::new(), Vec::new());
        // The signature of a text precedes the text; see `PastReasoning::on_text`.
        let mut signature = None;
        for part in &message.parts {
            match part {
                chat::Part::Text(text) => match signature.take() {
                    Some(signature) => parts.push(signed_text(text, signature)),
                    None => parts.extend(text_part(text)),
                },
                chat::Part::Reasoning(past) => push_reasoning(past, &mut signature, &mut parts),
                chat::Part::ToolResult(result) => results.push(self.result(result)?),
                chat::Part::ToolCall(call) => parts.push(self.call(call)?),
                chat::Part::Refusal(text) => parts.extend(text_part(text)),
                chat::Part::CacheMark(_) => {}
                media => parts.push(self.media(media)?),
            }
        }
        // Gemini itself puts a signature on an empty text if no text follows it.
        parts.extend(signature.map(|signature| signed_text("", signature)));
        // Results come first, directly after the turn with their calls.
        append(turns, "user", results, true);
        append(turns, role, parts, false);
        Ok(())
    }

    fn call(self, call: &'a PastCall) -> Result<Part<'a>, Fault> {
        let args =
            match call.arguments.trim() {
                // The input of a custom tool is free text, and Gemini accepts only objects.
                _ if call.custom => Args::Input(&call.arguments),
                // A call without arguments may come back as an empty string.
                "" => Args::Object(empty_object()),
                text => Args::Object(json_object(text).ok_or_else(|| {
                    self.fault("the arguments of a tool call are not a JSON object")
                })?),
            };
        let thought_signature = call
            .signature
            .as_deref()
            .filter(|_| call.wire == Some(WireId::Gemini));
        let function_call = Some(FunctionCall {
            id: provider_id(&call.id),
            name: &call.name,
            args,
        });
        Ok(Part {
            function_call,
            thought_signature,
            ..Part::default()
        })
    }

    fn result(self, result: &'a ToolResult) -> Result<Part<'a>, Fault> {
        let name = result
            .name
            .as_deref()
            .or_else(|| tool_name_for_call(&self.chat.messages, &result.id));
        let name =
            name.ok_or_else(|| self.fault("no tool call in this chat matches this tool result"))?;
        let (mut text, mut parts) = (String::new(), Vec::new());
        for part in &result.parts {
            match part {
                chat::Part::Text(more) => {
                    text.push_str(if text.is_empty() { "" } else { "\n" });
                    text.push_str(more);
                }
                chat::Part::CacheMark(_) => {}
                media => parts.push(self.media(media)?),
            }
        }
        // `response` must be an object: other text is wrapped in one.
        let response = match json_object(text.trim()) {
            _ if result.is_error => Response::Error(text),
            Some(object) => Response::Object(object.to_owned()),
            None => Response::Output(text),
        };
        let function_response = Some(FunctionResponse {
            id: provider_id(&result.id),
            name,
            response,
            parts,
        });
        Ok(Part {
            function_response,
            ..Part::default()
        })
    }

    fn media(self, part: &'a chat::Part) -> Result<Part<'a>, Fault> {
        let (kind, source) = match part {
            chat::Part::Image { source, .. } => ("images", source),
            chat::Part::File { source, .. } => ("files", source),
            chat::Part::Audio { data, format } => {
                return Ok(inline_data(Cow::Owned(format!("audio/{format}")), data));
            }
            _ => {
                return Err(
                    self.fault("a tool result can only contain text, images, files and audio")
                );
            }
        };
        match source {
            Source::Data { media_type, base64 } => {
                Ok(inline_data(Cow::Borrowed(media_type), base64))
            }
            Source::Url(_) => Err(self.fault(&format!(
                "this model's provider (gemini) accepts {kind} only as inline data, and links are \
                 not fetched here; send a data URI"
            ))),
            Source::FileId(_) => Err(self.fault(
                "this model's provider (gemini) does not know another provider's file ids; send \
                 the data inline",
            )),
        }
    }
}

/// Appends parts to the last turn if it has the same role and kind, else as a new turn.
fn append<'a>(
    turns: &mut Vec<Content<'a>>,
    role: &'static str,
    parts: Vec<Part<'a>>,
    results: bool,
) {
    let is_same_kind = |turn: &&mut Content<'_>| {
        turn.role == Some(role)
            && turn
                .parts
                .iter()
                .any(|part| part.function_response.is_some())
                == results
    };
    match turns.last_mut().filter(is_same_kind) {
        _ if parts.is_empty() => {}
        Some(turn) => turn.parts.extend(parts),
        None => turns.push(Content {
            role: Some(role),
            parts,
        }),
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

fn inline_data<'a>(mime_type: Cow<'a, str>, data: &'a str) -> Part<'a> {
    Part {
        inline_data: Some(Blob { mime_type, data }),
        ..Part::default()
    }
}

/// Appends a thought, if it has a signature of this wire. The signature of a text is put into
/// `pending` for the text after it.
fn push_reasoning<'a>(
    past: &'a PastReasoning,
    pending: &mut Option<&'a str>,
    parts: &mut Vec<Part<'a>>,
) {
    let Some(signature) = past
        .signature
        .as_deref()
        .filter(|_| past.wire == Some(WireId::Gemini))
    else {
        return;
    };
    if past.on_text {
        // Two signatures without a text between them: the earlier one goes on an empty text.
        parts.extend(
            pending
                .replace(signature)
                .map(|earlier| signed_text("", earlier)),
        );
    } else {
        parts.push(Part {
            thought: Some(true),
            ..signed_text(&past.text, signature)
        });
    }
}

/// Returns the id, or `None` if this gateway generated it because the provider sent none.
fn provider_id(id: &str) -> Option<&str> {
    // Without an id Gemini matches calls and results by name and order.
    let is_generated = id
        .strip_prefix("call_")
        .and_then(|rest| rest.split_once('_'))
        .is_some_and(|(seed, _)| StreamId::parse(seed).is_some());
    (!is_generated && !id.is_empty()).then_some(id)
}

/// Returns the text if it is a JSON object.
fn json_object(text: &str) -> Option<&RawValue> {
    text.starts_with('{')
        .then(|| serde_json::from_str(text).ok())?
}

fn empty_object() -> &'static RawValue {
    serde_json::from_str("{}").expect("an empty object is JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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

    /// Returns system instruction and turns of these messages, for a model that does not validate
    /// signatures.
    fn turns(messages: Vec<Message>) -> Value {
        turns_for(messages, "gemini-2.5-flash")
    }

    fn turns_for(messages: Vec<Message>, model: &str) -> Value {
        let chat = Chat {
            messages,
            ..Chat::default()
        };
        let (system, turns) = contents(&chat, model).unwrap();
        json!([system, turns])
    }

    fn rejected(messages: Vec<Message>) -> Option<String> {
        let chat = Chat {
            messages,
            ..Chat::default()
        };
        let fault = contents(&chat, "m").map(|_| ()).unwrap_err();
        assert_eq!(fault.status.as_u16(), 400);
        fault.param
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
    fn media_is_sent_inline_and_links_are_rejected() {
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
        for source in [
            Source::Url("https://a.example/b.png".into()),
            Source::FileId("file-1".into()),
        ] {
            let messages = vec![
                message(Role::User, vec![text("a")]),
                message(Role::User, vec![image(source)]),
            ];
            assert_eq!(rejected(messages).as_deref(), Some("messages[1]"));
        }
        assert_eq!(
            rejected(vec![message(Role::System, vec![image(data())])]).as_deref(),
            Some("messages[0]")
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
    fn calls_that_are_not_objects_are_rejected() {
        assert_eq!(
            rejected(vec![message(Role::Tool, vec![result("x", vec![], false)])]).as_deref(),
            Some("messages[0]")
        );
        for arguments in ["{\"a\":", "[1]", "x"] {
            assert_eq!(
                rejected(vec![message(
                    Role::Assistant,
                    vec![call("x", "f", arguments, None)]
                )])
                .as_deref(),
                Some("messages[0]")
            );
        }
        let (id, name) = ("c".into(), "grep".into());
        let custom = PastCall {
            id,
            name,
            arguments: "free text".into(),
            signature: None,
            wire: None,
            custom: true,
        };
        let turns = turns(vec![message(
            Role::Assistant,
            vec![chat::Part::ToolCall(custom)],
        )]);
        assert_eq!(
            turns[1][0]["parts"][0]["functionCall"]["args"],
            json!({"input": "free text"})
        );
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
    fn unsigned_calls_of_the_current_turn_get_a_placeholder_from_gemini_3_on() {
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
        let signatures = |messages: Vec<Message>, model: &str| -> Vec<Option<String>> {
            let turns = turns_for(messages, model);
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
            signatures(messages(None), "gemini-3.5-flash"),
            [None, None, placeholder, None]
        );
        assert_eq!(
            signatures(messages(None), "gemini-2.5-pro"),
            [None, None, None, None]
        );
        let own = Some("c2ln".to_owned());
        assert_eq!(
            signatures(messages(Some(WireId::Gemini)), "gemini-3.5-flash"),
            [own.clone(), None, own, None]
        );
    }
}
