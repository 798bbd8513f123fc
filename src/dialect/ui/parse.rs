//! Parses the requests of `useChat`: UI messages, and beside them the settings of Chat Completions.

use std::sync::OnceLock;

use bytes::Bytes;
use bytestring::ByteString;
use http::HeaderMap;

use super::messages;
use crate::dialect::head_fields::{MAX_MODEL, forwarded_headers, user};
use crate::dialect::object::Object;
use crate::dialect::openai_chat::chat;
use crate::dialect::{references, request};
use crate::model::ask::{Ask, AskHead, Thread, input_estimate};
use crate::model::chat::{Chat, Message, Origin, Part, Role, Tool};
use crate::model::fault::Fault;
use crate::model::wire::DialectId;

/// Maximum length of the id of a chat or of a message, bytes.
const MAX_ID: usize = 256;

/// Parses a request.
///
/// # Errors
/// A 400 that names the field and the expected value; a 403 for an object in the provider's
/// account.
pub(super) fn ask(headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    let (mut ask, chat) = read(&body)?;
    ask.headers = forwarded_headers(headers, &[]);
    ask.body = body;
    // The estimate needed the translated chat, and so will every target: keep it.
    ask.chat = OnceLock::from(Ok(chat));
    Ok(ask)
}

fn read(body: &[u8]) -> Result<(Ask, Chat), Fault> {
    let top = Object::from_body(body)?;
    top.reject_duplicates([chat::FIELDS, &["id", "system"]])?;
    references::reject(&top)?;
    let chat = chat_of(&top)?;
    let head = head(&top, &chat)?;
    // No wire accepts UI messages unchanged: every request is translated.
    let ask = request::ask(head, None, Vec::new(), Vec::new(), translate);
    Ok((ask, chat))
}

fn head(top: &Object<'_>, chat: &Chat) -> Result<AskHead, Fault> {
    Ok(AskHead {
        dialect: DialectId::Ui,
        // May be empty: the gateway inserts `ui.model`.
        model: bounded(top, "model", MAX_MODEL)?.unwrap_or_default(),
        conversation: Some(Thread {
            chat: bounded(top, "id", MAX_ID)?,
            message: continued_message(top)?,
        }),
        responses: None,
        stream: top.read("stream", "true or false")?.unwrap_or(true),
        choices: 1,
        max_output: chat.max_tokens,
        include_usage: true,
        input_estimate: estimate(chat),
        user: chat.user.as_deref().and_then(user),
    })
}

fn translate(body: &[u8]) -> Result<Chat, Fault> {
    chat_of(&Object::from_body(body)?)
}

/// Translates a request: the messages, with `system` before all of them, and the settings of Chat
/// Completions.
fn chat_of(top: &Object<'_>) -> Result<Chat, Fault> {
    let mut all = Vec::new();
    if let Some(system) = top.string("system")? {
        all.push(Message {
            role: Role::System,
            name: None,
            parts: vec![Part::Text(system)],
        });
    }
    let mut origins = vec![Origin::of(0); all.len()];
    messages::read(top, &mut all, &mut origins)?;
    let chat = chat::settings(top, all, origins)?;
    if chat.choices.is_some_and(|n| n > 1) {
        return Err(top.invalid("n", "1: a UI message contains one choice"));
    }
    Ok(chat)
}

/// Returns the id of the message that the answer continues: the last one, if it is the assistant's.
fn continued_message(top: &Object<'_>) -> Result<Option<ByteString>, Fault> {
    match top.objects("messages")?.last() {
        Some(message) if message.string("role")?.as_deref() == Some("assistant") => {
            bounded(message, "id", MAX_ID)
        }
        _ => Ok(None),
    }
}

fn bounded(top: &Object<'_>, name: &str, max_bytes: usize) -> Result<Option<ByteString>, Fault> {
    let text = top.string(name)?.filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.len() > max_bytes) {
        return Err(top.invalid(name, &format!("at most {max_bytes} bytes long")));
    }
    Ok(text.map(Into::into))
}

/// Estimates the input tokens: text and tools by their bytes, images by their number.
fn estimate(chat: &Chat) -> u64 {
    let parts = chat.messages.iter().flat_map(|message| &message.parts);
    let (bytes, images) = parts
        .map(part_size)
        .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    input_estimate(
        bytes + chat.tools.iter().map(tool_size).sum::<u64>(),
        images,
    )
}

/// Returns the bytes of text and the number of images in a part.
fn part_size(part: &Part) -> (u64, u64) {
    match part {
        Part::Text(text) | Part::Refusal(text) => (text.len() as u64, 0),
        Part::Reasoning(past) => (past.text.len() as u64, 0),
        Part::ToolCall(call) => ((call.name.len() + call.arguments.len()) as u64, 0),
        Part::ToolResult(result) => result
            .parts
            .iter()
            .map(part_size)
            .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1)),
        Part::Image { .. } => (0, 1),
        Part::File { .. } | Part::Audio { .. } | Part::CacheMark(_) => (0, 0),
    }
}

/// Returns the size of a tool declaration, bytes.
fn tool_size(tool: &Tool) -> u64 {
    let bytes = match tool {
        Tool::Function {
            name,
            description,
            parameters,
            ..
        } => {
            name.len()
                + description.as_ref().map_or(0, String::len)
                + parameters.as_ref().map_or(0, |it| it.get().len())
        }
        Tool::Native { json, .. } => json.get().len(),
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str =
        r#""messages":[{"id":"1","role":"user","parts":[{"type":"text","text":"hi"}]}]"#;

    fn parsed(fields: &str) -> Result<Ask, Fault> {
        ask(
            &HeaderMap::new(),
            Bytes::from(format!("{{{MESSAGES}{fields}}}")),
        )
    }

    #[test]
    fn settings_are_read_beside_the_messages() {
        let ask =
            parsed(r#","id":"chat-1","model":"smart","trigger":"submit-message","system":"be kind","temperature":0.5,"max_tokens":9"#)
                .unwrap();
        assert_eq!(
            (
                &*ask.head.model,
                ask.head.conversation.as_ref().unwrap().chat.as_deref(),
                ask.head.stream,
                ask.head.max_output
            ),
            ("smart", Some("chat-1"), true, Some(9))
        );
        let chat = ask.chat().unwrap();
        assert_eq!(
            (chat.temperature, chat.messages.len(), chat.messages[0].role),
            (Some(0.5), 2, Role::System)
        );
        assert_eq!((ask.head.input_estimate, ask.shape), (3, None));
    }

    #[test]
    fn a_further_step_keeps_the_id_of_its_message() {
        let message = |messages: &str| {
            let user = r#"{"id":"1","role":"user","parts":[{"type":"text","text":"hi"}]}"#;
            let body = Bytes::from(format!(r#"{{"messages":[{user},{messages}]}}"#));
            ask(&HeaderMap::new(), body)
                .map(|ask| ask.head.conversation.as_ref().unwrap().message.clone())
        };
        let answer = r#""role":"assistant","parts":[{"type":"text","text":"so"}]}"#;
        assert_eq!(
            message(&format!(r#"{{"id":"msg_1",{answer}"#))
                .unwrap()
                .as_deref(),
            Some("msg_1")
        );
        assert_eq!(message(&format!("{{{answer}")).unwrap(), None);
        let asked = r#"{"id":"3","role":"user","parts":[{"type":"text","text":"and?"}]}"#;
        assert_eq!(
            message(&format!(r#"{{"id":"msg_1",{answer},{asked}"#)).unwrap(),
            None
        );
        let long = "x".repeat(MAX_ID + 1);
        assert_eq!(
            message(&format!(r#"{{"id":"{long}",{answer}"#))
                .unwrap_err()
                .param
                .as_deref(),
            Some("messages[1].id")
        );
    }

    #[test]
    fn the_model_may_be_missing() {
        assert_eq!(&*parsed("").unwrap().head.model, "");
        assert_eq!(&*parsed(r#","model":null"#).unwrap().head.model, "");
    }

    #[test]
    fn errors_name_the_invalid_field() {
        for (fields, status, param) in [
            (r#","model":7"#, 400, "model"),
            (r#","id":["x"]"#, 400, "id"),
            (r#","id":"a","id":"b""#, 400, "id"),
            (r#","n":2"#, 400, "n"),
            (r#","temperature":"hot""#, 400, "temperature"),
            (r#","stream":1"#, 400, "stream"),
            (
                r#","previous_response_id":"r""#,
                403,
                "previous_response_id",
            ),
        ] {
            let fault = parsed(fields).unwrap_err();
            assert_eq!(
                (fault.status.as_u16(), fault.param.as_deref()),
                (status, Some(param)),
                "{fields}"
            );
        }
        assert_eq!(
            ask(&HeaderMap::new(), Bytes::from_static(b"{}"))
                .unwrap_err()
                .param
                .as_deref(),
            Some("messages")
        );
    }
}
