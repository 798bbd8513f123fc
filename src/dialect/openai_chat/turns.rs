//! Translates the turns of a conversation.

use super::cache;
use super::content;
use super::reasoning;
use crate::dialect::object::Object;
use crate::model::chat::{Message, Origin, Part, PastCall, Role, ToolResult, derive_call_id};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Returns the turns of a body and their positions in it. A model turn without content is dropped,
/// because other APIs reject empty turns.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn messages(top: &Object<'_>) -> Result<(Vec<Message>, Vec<Origin>), Fault> {
    let mut legacy = Legacy::default();
    let (mut turns, mut origins) = (Vec::new(), Vec::new());
    for (at, message) in top.objects("messages")?.iter().enumerate() {
        let turn = turn(message, &mut legacy)?;
        let is_mark = |part: &Part| matches!(part, Part::CacheMark(_));
        if turn.role != Role::Assistant || !turn.parts.iter().all(is_mark) {
            turns.push(turn);
            origins.push(Origin::of(at));
        }
    }
    Ok((turns, origins))
}

fn turn(message: &Object<'_>, legacy: &mut Legacy) -> Result<Message, Fault> {
    let (role, mut parts) = match &*message.required("role")? {
        // `developer` is the newer name for `system`.
        "system" | "developer" => (Role::System, content::required(message)?),
        "user" => (Role::User, content::required(message)?),
        "assistant" => (Role::Assistant, assistant(message, legacy)?),
        "tool" => (
            Role::Tool,
            vec![result(message, message.non_empty("tool_call_id")?)?],
        ),
        "function" => (
            Role::Tool,
            vec![result(
                message,
                legacy.call_answered_by(&message.non_empty("name")?),
            )?],
        ),
        _ => {
            return Err(message.invalid(
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

/// Returns the parts of a model turn: its reasoning, then its content, then its calls.
fn assistant(message: &Object<'_>, legacy: &mut Legacy) -> Result<Vec<Part>, Fault> {
    if message.raw("audio").is_some() {
        return Err(message.invalid(
            "audio",
            "left out for this target: it refers to an earlier audio answer",
        ));
    }
    let mut content = content::optional(message)?.unwrap_or_default();
    content.extend(message.string("refusal")?.map(Part::Refusal));
    // Clients send an empty text beside tool calls, and other APIs reject it.
    content
        .retain(|part| !matches!(part, Part::Text(text) | Part::Refusal(text) if text.is_empty()));
    let mut parts = reasoning::past_parts(message, content)?;
    for call in message.objects("tool_calls")? {
        parts.push(Part::ToolCall(past_call(&call)?));
    }
    if let Some(function) = message.object("function_call")? {
        let name = function.non_empty("name")?;
        parts.push(Part::ToolCall(call(
            legacy.new_call(&name),
            name,
            arguments(&function)?,
        )));
    }
    Ok(parts)
}

fn past_call(object: &Object<'_>) -> Result<PastCall, Fault> {
    let id = object.non_empty("id")?;
    let kind = object.string("type")?;
    // Some clients omit the type of a function call.
    let mut past = match kind.as_deref().unwrap_or("function") {
        "function" => {
            let function = object.required_object("function")?;
            call(id, function.non_empty("name")?, arguments(&function)?)
        }
        "custom" => {
            let custom = object.required_object("custom")?;
            PastCall {
                custom: true,
                ..call(id, custom.non_empty("name")?, custom.required("input")?)
            }
        }
        _ => return Err(object.invalid("type", "`function` or `custom`")),
    };
    past.signature = reasoning::google_signature(object)?;
    // Only Gemini signs calls in this form.
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

/// Reads arguments. They are JSON text; some clients send the object itself.
fn arguments(function: &Object<'_>) -> Result<String, Fault> {
    match function.raw("arguments") {
        None => Ok(String::new()),
        Some(json) if json.get().starts_with('{') => Ok(json.get().to_owned()),
        Some(_) => function.required("arguments"),
    }
}

fn result(message: &Object<'_>, id: String) -> Result<Part, Fault> {
    Ok(Part::ToolResult(ToolResult {
        id,
        name: message.string("name")?,
        parts: content::required(message)?,
        // The API has no member for a failed tool.
        is_error: false,
    }))
}

/// Ids for legacy function calls, which have none: each call gets one, and a result belongs to the
/// latest call of its name.
#[derive(Default)]
struct Legacy {
    /// The name and id of each call.
    calls: Vec<(String, String)>,
}

impl Legacy {
    fn new_call(&mut self, name: &str) -> String {
        let index = u16::try_from(self.calls.len()).unwrap_or(u16::MAX);
        let id = derive_call_id("legacy", 0, index).to_string();
        self.calls.push((name.to_owned(), id.clone()));
        id
    }

    fn call_answered_by(&mut self, name: &str) -> String {
        // A name may be called several times; the result follows its call.
        let known = self
            .calls
            .iter()
            .rev()
            .find(|(called, _)| called == name)
            .map(|(_, id)| id.clone());
        // A result without its call still needs an id.
        known.unwrap_or_else(|| self.new_call(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: &str) -> Result<Vec<Message>, Fault> {
        messages_of(&format!(r#"{{"messages":{messages}}}"#))
    }

    fn messages_of(body: &str) -> Result<Vec<Message>, Fault> {
        messages(&Object::from_body(body.as_bytes()).unwrap()).map(|(messages, _)| messages)
    }

    #[test]
    fn turns_keep_their_order_and_roles() {
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
    fn calls_follow_the_text_with_their_signatures() {
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
    fn legacy_results_get_the_id_of_their_call() {
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
    fn a_model_turn_without_content_is_dropped() {
        let turns = read(
            r#"[{"role":"assistant","content":""},{"role":"assistant","content":null},{"role":"assistant"},{"role":"user","content":""}]"#,
        );
        assert_eq!(turns.unwrap().len(), 1);
    }

    #[test]
    fn errors_name_the_invalid_field() {
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
