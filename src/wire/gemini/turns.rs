//! The turns of a chat → `systemInstruction` and `contents`.
//!
//! Invariants: neighbouring messages of one side are one turn; the results of a turn's calls stand
//! together, in a turn of their own right behind them, as Gemini counts them there.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::draft::wants_signatures;
use super::request::{Args, Blob, Content, FunctionCall, FunctionResponse, Part, Response};
use crate::model::chat::{
    self, Chat, Message, PastCall, PastReasoning, Role, Source, ToolResult, tool_name_of,
};
use crate::model::fault::Fault;
use crate::model::ids::StreamId;
use crate::model::wire::WireId;

/// What Google's documentation gives for calls that another model made: Gemini 3 refuses a turn
/// whose first call has no signature.
const FOREIGN_CALL: &str = "skip_thought_signature_validator";

type Turns<'a> = (Option<Content<'a>>, Vec<Content<'a>>);

/// The system instruction and the turns.
pub(super) fn of<'a>(chat: &'a Chat, model: &str) -> Result<Turns<'a>, Fault> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for (at, message) in chat.messages.iter().enumerate() {
        let from = Origin { chat, at };
        match message.role {
            Role::System => from.instructions(message, &mut system)?,
            _ => from.message(message, &mut turns)?,
        }
    }
    if turns.is_empty() {
        let message = "messages: this model's provider (gemini) needs at least one message besides instructions, with content";
        return Err(Fault::invalid("messages", message));
    }
    if wants_signatures(model) {
        excuse_foreign_calls(&mut turns);
    }
    Ok((
        (!system.is_empty()).then_some(Content {
            role: None,
            parts: system,
        }),
        turns,
    ))
}

/// Signatures are only looked at behind the last words of the user.
fn excuse_foreign_calls(turns: &mut [Content<'_>]) {
    let words = |turn: &Content<'_>| {
        turn.role == Some("user")
            && !turn
                .parts
                .iter()
                .any(|part| part.function_response.is_some())
    };
    let last = turns.iter().rposition(words).unwrap_or(0);
    for turn in turns.iter_mut().skip(last) {
        if let Some(first) = turn
            .parts
            .iter_mut()
            .find(|part| part.function_call.is_some())
        {
            first.thought_signature.get_or_insert(FOREIGN_CALL);
        }
    }
}

/// A message, for what must be said of where something stands.
#[derive(Clone, Copy)]
struct Origin<'a> {
    chat: &'a Chat,
    at: usize,
}

impl<'a> Origin<'a> {
    fn fault(self, what: &str) -> Fault {
        let field = format!("messages[{}]", self.at);
        Fault::invalid(&field, format!("{field}: {what}"))
    }

    fn instructions(self, message: &'a Message, parts: &mut Vec<Part<'a>>) -> Result<(), Fault> {
        for part in &message.parts {
            match part {
                chat::Part::Text(text) => parts.extend(words(text)),
                chat::Part::CacheMark(_) => {}
                _ => {
                    return Err(self.fault(
                        "instructions can only be text for this model's provider (gemini)",
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
        let mut signature = None;
        for part in &message.parts {
            match part {
                chat::Part::Text(text) => match signature.take() {
                    Some(signature) => parts.push(signed(text, signature)),
                    None => parts.extend(words(text)),
                },
                chat::Part::Reasoning(past) => reasoning(past, &mut signature, &mut parts),
                chat::Part::ToolResult(result) => results.push(self.result(result)?),
                chat::Part::ToolCall(call) => parts.push(self.call(call)?),
                chat::Part::Refusal(text) => parts.extend(words(text)),
                chat::Part::CacheMark(_) => {}
                media => parts.push(self.media(media)?),
            }
        }
        parts.extend(signature.map(|signature| signed("", signature)));
        join(turns, "user", results, true);
        join(turns, role, parts, false);
        Ok(())
    }

    fn call(self, call: &'a PastCall) -> Result<Part<'a>, Fault> {
        let args =
            match call.arguments.trim() {
                _ if call.custom => Args::Input(&call.arguments),
                "" => Args::Object(empty_object()),
                text => Args::Object(object(text).ok_or_else(|| {
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
            .or_else(|| tool_name_of(&self.chat.messages, &result.id));
        let name =
            name.ok_or_else(|| self.fault("a tool result answers no tool call of this chat"))?;
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
        let response = match object(text.trim()) {
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
        let (what, source) = match part {
            chat::Part::Image { source, .. } => ("images", source),
            chat::Part::File { source, .. } => ("files", source),
            chat::Part::Audio { data, format } => {
                return Ok(bytes(Cow::Owned(format!("audio/{format}")), data));
            }
            _ => {
                return Err(self.fault("a tool result can only hold text, images, files and audio"));
            }
        };
        match source {
            Source::Data { media_type, base64 } => Ok(bytes(Cow::Borrowed(media_type), base64)),
            Source::Url(_) => Err(self.fault(&format!(
                "this model's provider (gemini) takes {what} only as bytes, and links are not fetched here; send a data URI"
            ))),
            Source::FileId(_) => Err(self.fault("a file id of another provider is unknown to gemini; send the bytes")),
        }
    }
}

/// Puts parts behind the last turn where it is of the same kind, else into a new one.
fn join<'a>(turns: &mut Vec<Content<'a>>, role: &'static str, parts: Vec<Part<'a>>, results: bool) {
    let of_kind = |turn: &&mut Content<'_>| {
        turn.role == Some(role)
            && turn
                .parts
                .iter()
                .any(|part| part.function_response.is_some())
                == results
    };
    match turns.last_mut().filter(of_kind) {
        _ if parts.is_empty() => {}
        Some(turn) => turn.parts.extend(parts),
        None => turns.push(Content {
            role: Some(role),
            parts,
        }),
    }
}

/// Gemini refuses empty text.
fn words(text: &str) -> Option<Part<'_>> {
    (!text.is_empty()).then(|| Part {
        text: Some(text),
        ..Part::default()
    })
}

fn signed<'a>(text: &'a str, signature: &'a str) -> Part<'a> {
    Part {
        text: Some(text),
        thought_signature: Some(signature),
        ..Part::default()
    }
}

fn bytes<'a>(mime_type: Cow<'a, str>, data: &'a str) -> Part<'a> {
    Part {
        inline_data: Some(Blob { mime_type, data }),
        ..Part::default()
    }
}

/// Thoughts go back only with a signature of this wire. That of a text is kept for the text behind
/// it.
fn reasoning<'a>(
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
        parts.extend(
            pending
                .replace(signature)
                .map(|earlier| signed("", earlier)),
        );
    } else {
        parts.push(Part {
            thought: Some(true),
            ..signed(&past.text, signature)
        });
    }
}

/// The id, unless it is one that was made here because the provider sent none.
fn provider_id(id: &str) -> Option<&str> {
    let made = id
        .strip_prefix("call_")
        .and_then(|rest| rest.split_once('_'))
        .is_some_and(|(seed, _)| StreamId::parse(seed).is_some());
    (!made && !id.is_empty()).then_some(id)
}

/// The text, where it is a JSON object.
fn object(text: &str) -> Option<&RawValue> {
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

    /// System instruction and turns of these messages, for a model that looks at no signature.
    fn turns(messages: Vec<Message>) -> Value {
        turns_for(messages, "gemini-2.5-flash")
    }

    fn turns_for(messages: Vec<Message>, model: &str) -> Value {
        let chat = Chat {
            messages,
            ..Chat::default()
        };
        let (system, turns) = of(&chat, model).unwrap();
        json!([system, turns])
    }

    fn refused(messages: Vec<Message>) -> Option<String> {
        let chat = Chat {
            messages,
            ..Chat::default()
        };
        let fault = of(&chat, "m").map(|_| ()).unwrap_err();
        assert_eq!(fault.status.as_u16(), 400);
        fault.param
    }

    #[test]
    fn neighbours_are_one_turn_and_instructions_none() {
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
    fn bytes_go_inline_and_links_are_refused() {
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
            assert_eq!(refused(messages).as_deref(), Some("messages[1]"));
        }
        assert_eq!(
            refused(vec![message(Role::System, vec![image(data())])]).as_deref(),
            Some("messages[0]")
        );
    }

    #[test]
    fn results_of_a_turn_stand_together_behind_its_calls() {
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
    fn calls_that_cannot_be_spelled_are_refused() {
        assert_eq!(
            refused(vec![message(Role::Tool, vec![result("x", vec![], false)])]).as_deref(),
            Some("messages[0]")
        );
        for arguments in ["{\"a\":", "[1]", "x"] {
            assert_eq!(
                refused(vec![message(
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
    fn signatures_go_back_where_they_came_from_and_only_there() {
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
    fn foreign_calls_of_the_current_turn_are_excused_from_gemini_3_on() {
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
        let excused = Some(FOREIGN_CALL.to_owned());
        assert_eq!(
            signatures(messages(None), "gemini-3.5-flash"),
            [None, None, excused, None]
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
