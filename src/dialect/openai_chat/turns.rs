//! The turns of a conversation.

use super::cache;
use super::content;
use super::reasoning;
use crate::dialect::object::Object;
use crate::model::chat::{Message, Part, PastCall, Role, ToolResult, made_call_id};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// The turns of a body. A turn of the model that says nothing is left out: other APIs refuse empty
/// turns.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn messages(top: &Object<'_>) -> Result<Vec<Message>, Fault> {
    let mut legacy = Legacy::default();
    let turns = top.objects("messages")?;
    let turns = turns
        .iter()
        .map(|message| turn(message, &mut legacy))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(turns
        .into_iter()
        .filter(|turn| {
            turn.role != Role::Assistant
                || turn
                    .parts
                    .iter()
                    .any(|part| !matches!(part, Part::CacheMark(_)))
        })
        .collect())
}

fn turn(message: &Object<'_>, legacy: &mut Legacy) -> Result<Message, Fault> {
    let (role, mut parts) = match &*message.required("role")? {
        "system" | "developer" => (Role::System, content::required(message)?),
        "user" => (Role::User, content::required(message)?),
        "assistant" => (Role::Assistant, assistant(message, legacy)?),
        "tool" => (
            Role::Tool,
            vec![result(message, message.filled("tool_call_id")?)?],
        ),
        "function" => (
            Role::Tool,
            vec![result(message, legacy.answered(&message.filled("name")?))?],
        ),
        _ => {
            return Err(message.refuse(
                "role",
                "`system`, `developer`, `user`, `assistant`, `tool` or `function`",
            ));
        }
    };
    parts.extend(cache::mark(message)?.map(Part::CacheMark));
    Ok(Message {
        role,
        name: message.string("name")?,
        parts,
    })
}

/// Reasoning first, then what was said, then the calls.
fn assistant(message: &Object<'_>, legacy: &mut Legacy) -> Result<Vec<Part>, Fault> {
    if message.raw("audio").is_some() {
        return Err(message.refuse(
            "audio",
            "left out for this target: it refers to an earlier audio answer",
        ));
    }
    let mut said = content::optional(message)?.unwrap_or_default();
    said.extend(message.string("refusal")?.map(Part::Refusal));
    said.retain(|part| !matches!(part, Part::Text(text) | Part::Refusal(text) if text.is_empty()));
    let mut parts = reasoning::brought_back(message, said)?;
    for call in message.objects("tool_calls")? {
        parts.push(Part::ToolCall(past_call(&call)?));
    }
    if let Some(function) = message.object("function_call")? {
        let name = function.filled("name")?;
        parts.push(Part::ToolCall(call(
            legacy.called(&name),
            name,
            arguments(&function)?,
        )));
    }
    Ok(parts)
}

fn past_call(object: &Object<'_>) -> Result<PastCall, Fault> {
    let id = object.filled("id")?;
    let kind = object.string("type")?;
    let mut past = match kind.as_deref().unwrap_or("function") {
        "function" => {
            let function = object.required_object("function")?;
            call(id, function.filled("name")?, arguments(&function)?)
        }
        "custom" => {
            let custom = object.required_object("custom")?;
            PastCall {
                custom: true,
                ..call(id, custom.filled("name")?, custom.required("input")?)
            }
        }
        _ => return Err(object.refuse("type", "`function` or `custom`")),
    };
    past.signature = google_signature(object)?;
    past.wire = past.signature.is_some().then_some(WireId::Gemini);
    Ok(past)
}

fn call(id: String, name: String, arguments: String) -> PastCall {
    PastCall {
        id,
        name,
        arguments,
        signature: None,
        wire: None,
        custom: false,
    }
}

/// Arguments are JSON text; some clients send the object itself.
fn arguments(function: &Object<'_>) -> Result<String, Fault> {
    match function.raw("arguments") {
        None => Ok(String::new()),
        Some(json) if json.get().starts_with('{') => Ok(json.get().to_owned()),
        Some(_) => function.required("arguments"),
    }
}

/// `extra_content.google.thought_signature` of a tool call or message.
///
/// # Errors
/// A 400 when it is there and no string.
pub(super) fn google_signature(object: &Object<'_>) -> Result<Option<String>, Fault> {
    let Some(extra) = object.object("extra_content")? else {
        return Ok(None);
    };
    let Some(google) = extra.object("google")? else {
        return Ok(None);
    };
    google.string("thought_signature")
}

fn result(message: &Object<'_>, id: String) -> Result<Part, Fault> {
    Ok(Part::ToolResult(ToolResult {
        id,
        name: message.string("name")?,
        parts: content::required(message)?,
        is_error: false,
    }))
}

/// Legacy function calls have no ids: they get one, and a result belongs to the latest call of its
/// name.
#[derive(Default)]
struct Legacy {
    /// The name and id of each call.
    calls: Vec<(String, String)>,
}

impl Legacy {
    fn called(&mut self, name: &str) -> String {
        let index = u16::try_from(self.calls.len()).unwrap_or(u16::MAX);
        let id = made_call_id("legacy", 0, index).to_string();
        self.calls.push((name.to_owned(), id.clone()));
        id
    }

    fn answered(&mut self, name: &str) -> String {
        let known = self
            .calls
            .iter()
            .rev()
            .find(|(called, _)| called == name)
            .map(|(_, id)| id.clone());
        known.unwrap_or_else(|| self.called(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: &str) -> Result<Vec<Message>, Fault> {
        messages_of(&format!(r#"{{"messages":{messages}}}"#))
    }

    fn messages_of(body: &str) -> Result<Vec<Message>, Fault> {
        messages(&Object::body(body.as_bytes()).unwrap())
    }

    #[test]
    fn roles_stand_where_they_stood() {
        let turns = read(
            r#"[{"role":"system","content":"a"},{"role":"developer","content":"b"},{"role":"user","content":"c","name":"ann"},
                {"role":"assistant","content":"d"},{"role":"tool","tool_call_id":"t","content":[{"type":"text","text":"e"}]}]"#,
        )
        .unwrap();
        let roles: Vec<Role> = turns.iter().map(|turn| turn.role).collect();
        assert_eq!(
            roles,
            [
                Role::System,
                Role::System,
                Role::User,
                Role::Assistant,
                Role::Tool
            ]
        );
        assert_eq!(turns[2].name.as_deref(), Some("ann"));
        assert!(
            matches!(&turns[4].parts[..], [Part::ToolResult(it)] if it.id == "t" && matches!(&it.parts[..], [Part::Text(text)] if text == "e"))
        );
    }

    #[test]
    fn calls_come_behind_words_with_their_signatures() {
        let turns = read(
            r#"[{"role":"assistant","content":"w","refusal":"n","tool_calls":[
                {"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"},"extra_content":{"google":{"thought_signature":"sig"}}},
                {"id":"2","function":{"name":"g","arguments":{"b": 2}}},{"id":"3","type":"custom","custom":{"name":"c","input":"free"}}]}]"#,
        )
        .unwrap();
        let [
            Part::Text(_),
            Part::Refusal(_),
            Part::ToolCall(f),
            Part::ToolCall(g),
            Part::ToolCall(c),
        ] = &turns[0].parts[..]
        else {
            panic!("{turns:?}")
        };
        assert_eq!(
            (&*f.arguments, f.signature.as_deref(), f.wire),
            (r#"{"a":1}"#, Some("sig"), Some(WireId::Gemini))
        );
        assert_eq!(
            (&*g.arguments, &g.signature, g.wire, g.custom),
            (r#"{"b": 2}"#, &None, None, false)
        );
        assert_eq!((&*c.id, &*c.arguments, c.custom), ("3", "free", true));
    }

    #[test]
    fn legacy_calls_and_results_find_each_other() {
        let turns = read(
            r#"[{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"1"},
                {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"2"}]"#,
        )
        .unwrap();
        let id = |turn: &Message| match &turn.parts[0] {
            Part::ToolCall(call) => call.id.clone(),
            Part::ToolResult(result) => result.id.clone(),
            part => panic!("{part:?}"),
        };
        assert_eq!(id(&turns[0]), id(&turns[1]));
        assert_eq!(id(&turns[2]), id(&turns[3]));
        assert_ne!(id(&turns[0]), id(&turns[2]));
    }

    #[test]
    fn a_turn_of_the_model_that_says_nothing_is_left_out() {
        let turns = read(
            r#"[{"role":"assistant","content":""},{"role":"assistant","content":null},{"role":"assistant"},{"role":"user","content":""}]"#,
        );
        assert_eq!(turns.unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (message, param) in [
            (r#"{"content":"a"}"#, "messages[0].role"),
            (r#"{"role":"robot","content":"a"}"#, "messages[0].role"),
            (r#"{"role":"user"}"#, "messages[0].content"),
            (r#"{"role":"system","content":7}"#, "messages[0].content"),
            (
                r#"{"role":"tool","content":"a"}"#,
                "messages[0].tool_call_id",
            ),
            (r#"{"role":"function","content":"a"}"#, "messages[0].name"),
            (
                r#"{"role":"assistant","audio":{"id":"x"}}"#,
                "messages[0].audio",
            ),
            (
                r#"{"role":"assistant","tool_calls":{}}"#,
                "messages[0].tool_calls",
            ),
            (
                r#"{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]}"#,
                "messages[0].tool_calls[0].id",
            ),
            (
                r#"{"role":"assistant","tool_calls":[{"id":"1","type":"x"}]}"#,
                "messages[0].tool_calls[0].type",
            ),
            (
                r#"{"role":"assistant","tool_calls":[{"id":"1","function":{"arguments":"{}"}}]}"#,
                "messages[0].tool_calls[0].function.name",
            ),
            (
                r#"{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":7}}]}"#,
                "messages[0].tool_calls[0].function.arguments",
            ),
        ] {
            assert_eq!(
                read(&format!("[{message}]")).unwrap_err().param.as_deref(),
                Some(param),
                "{message}"
            );
        }
    }
}
