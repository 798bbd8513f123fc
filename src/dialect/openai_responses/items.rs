//! The input: instructions, then items, as turns.
//!
//! Invariants: what the model said, thought and called in a row is one turn; each result of a tool
//! is a turn of its own. Reasoning that nobody has encrypted is left out: its words alone are
//! nothing to go on with.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::content;
use crate::dialect::object::Object;
use crate::model::chat::{Message, Part, PastCall, PastReasoning, Role, ToolResult};
use crate::model::fault::Fault;
use crate::model::opaque_signature::{Kept, OpaqueSignature, is_ours};
use crate::model::wire::WireId;

/// The turns of a body, instructions first.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn messages(top: &Object<'_>) -> Result<Vec<Message>, Fault> {
    let mut turns = Turns::default();
    if let Some(instructions) = top.string("instructions")?.filter(|text| !text.is_empty()) {
        turns.push(Role::System, vec![Part::Text(instructions)]);
    }
    match top.raw("input").map(RawValue::get) {
        Some(json) if json.starts_with('"') => {
            turns.push(Role::User, vec![Part::Text(top.required("input")?)]);
        }
        _ => {
            let items = top.objects("input")?;
            turns.of_calls = signatures_of_calls(&items)?;
            for item in &items {
                turns.item(item)?;
            }
        }
    }
    Ok(turns.messages)
}

/// The signatures of calls, by the id of the call.
fn signatures_of_calls(items: &[Object<'_>]) -> Result<HashMap<String, (WireId, String)>, Fault> {
    let mut found = HashMap::new();
    for item in items {
        if item.text("type")?.as_deref() != Some("reasoning") {
            continue;
        }
        let kept = item.text("encrypted_content")?;
        if let Some(OpaqueSignature {
            wire,
            kept:
                Kept {
                    call: Some(id),
                    signature: Some(signature),
                    ..
                },
        }) = kept.as_deref().and_then(OpaqueSignature::unwrap)
        {
            found.insert(id, (wire, signature));
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Turns {
    messages: Vec<Message>,
    of_calls: HashMap<String, (WireId, String)>,
}

impl Turns {
    fn push(&mut self, role: Role, parts: Vec<Part>) {
        if !parts.is_empty() {
            self.messages.push(Message {
                role,
                name: None,
                parts,
            });
        }
    }

    /// The turn of the model that is going on.
    fn model(&mut self, parts: impl IntoIterator<Item = Part>) {
        match self.messages.last_mut() {
            Some(last) if last.role == Role::Assistant => last.parts.extend(parts),
            _ => self.push(Role::Assistant, parts.into_iter().collect()),
        }
    }

    fn item(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let kind = item.text("type")?;
        match kind.as_deref() {
            None | Some("message") => self.message(item)?,
            Some("function_call") => self.call(item, "arguments")?,
            Some("custom_tool_call") => self.call(item, "input")?,
            Some("function_call_output" | "custom_tool_call_output") => {
                let parts = content::of(item, "output")?;
                let result = ToolResult { id: item.filled("call_id")?, name: None, parts, is_error: false };
                self.push(Role::Tool, vec![Part::ToolResult(result)]);
            }
            Some("reasoning") => self.reasoning(item)?,
            Some(_) => return Err(item.refuse("type", "`message`, `function_call`, `function_call_output`, `custom_tool_call`, `custom_tool_call_output` or `reasoning`, for this target")),
        }
        Ok(())
    }

    fn message(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let role = item.required("role")?;
        let parts = content::of(item, "content")?;
        match &*role {
            "user" => self.push(Role::User, parts),
            "system" | "developer" => self.push(Role::System, parts),
            "assistant" => self.model(
                parts
                    .into_iter()
                    .filter(|part| !matches!(part, Part::Text(text) if text.is_empty())),
            ),
            _ => return Err(item.refuse("role", "`user`, `assistant`, `system` or `developer`")),
        }
        Ok(())
    }

    fn call(&mut self, item: &Object<'_>, words: &str) -> Result<(), Fault> {
        let (id, name) = (item.filled("call_id")?, item.filled("name")?);
        let (wire, signature) = self.of_calls.remove(&id).unzip();
        let call = PastCall {
            id,
            name,
            arguments: item.required(words)?,
            signature,
            wire,
            custom: words == "input",
        };
        self.model([Part::ToolCall(call)]);
        Ok(())
    }

    fn reasoning(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let Some(encrypted) = item.string("encrypted_content")? else {
            return Ok(());
        };
        let mut text = String::new();
        for part in item.objects("summary")? {
            text.push_str(&part.string("text")?.unwrap_or_default());
        }
        let past = if is_ours(&encrypted) {
            // That of a call stands with the call; what was changed on its way is nobody's.
            let Some(OpaqueSignature {
                wire,
                kept:
                    Kept {
                        signature,
                        redacted,
                        on_text,
                        call: None,
                    },
            }) = OpaqueSignature::unwrap(&encrypted)
            else {
                return Ok(());
            };
            PastReasoning {
                text,
                signature,
                redacted,
                wire: Some(wire),
                on_text,
            }
        } else {
            let (signature, redacted) = (item.string("id")?, Some(encrypted));
            PastReasoning {
                text,
                signature,
                redacted,
                wire: Some(WireId::OpenaiResponses),
                on_text: false,
            }
        };
        self.thought(past);
        Ok(())
    }

    /// A signature of text goes before the text that it signs.
    fn thought(&mut self, past: PastReasoning) {
        if let Some(last) = self
            .messages
            .last_mut()
            .filter(|last| past.on_text && last.role == Role::Assistant)
            && matches!(last.parts.last(), Some(Part::Text(_)))
        {
            let at = last.parts.len() - 1;
            last.parts.insert(at, Part::Reasoning(past));
            return;
        }
        self.model([Part::Reasoning(past)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<Message>, Fault> {
        messages(&Object::body(body.as_bytes()).unwrap())
    }

    #[test]
    fn what_the_model_did_in_a_row_is_one_turn() {
        let turns = read(
            r#"{"instructions":"be good","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"https://x/y.png","detail":"low"}]},
                {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"E"},
                {"type":"message","role":"assistant","content":[{"type":"output_text","text":"b","annotations":[]}]},
                {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"custom_tool_call","call_id":"d","name":"g","input":"go"},
                {"type":"function_call_output","call_id":"c","output":"1"},{"type":"custom_tool_call_output","call_id":"d","output":[{"type":"input_text","text":"2"}]},
                {"role":"developer","content":"x"}]}"#,
        )
        .unwrap();
        let roles: Vec<Role> = turns.iter().map(|turn| turn.role).collect();
        assert_eq!(
            roles,
            [
                Role::System,
                Role::User,
                Role::Assistant,
                Role::Tool,
                Role::Tool,
                Role::System
            ]
        );
        let [
            Part::Reasoning(past),
            Part::Text(_),
            Part::ToolCall(_),
            Part::ToolCall(custom),
        ] = &turns[2].parts[..]
        else {
            panic!()
        };
        assert_eq!(
            (
                past.signature.as_deref(),
                past.redacted.as_deref(),
                past.wire
            ),
            (Some("rs_1"), Some("E"), Some(WireId::OpenaiResponses))
        );
        assert!(custom.custom && custom.arguments == "go" && past.text == "hm");
    }

    #[test]
    fn what_another_wire_has_made_is_for_that_wire() {
        let wrap = |kept: Kept| {
            OpaqueSignature {
                wire: WireId::Gemini,
                kept,
            }
            .wrap()
        };
        let on_text = wrap(Kept {
            signature: Some("T".into()),
            on_text: true,
            ..Kept::default()
        });
        let of_call = wrap(Kept {
            signature: Some("C".into()),
            call: Some("c".into()),
            ..Kept::default()
        });
        let turns = read(&format!(
            r#"{{"input":[{{"role":"assistant","content":"t"}},{{"type":"reasoning","summary":[],"encrypted_content":"{on_text}"}},
                {{"type":"reasoning","summary":[],"encrypted_content":"{of_call}"}},{{"type":"function_call","call_id":"c","name":"f","arguments":"{{}}"}},
                {{"type":"reasoning","summary":[]}},{{"type":"reasoning","summary":[],"encrypted_content":"sluicegate:broken"}}]}}"#
        ))
        .unwrap();
        let [Part::Reasoning(past), Part::Text(_), Part::ToolCall(call)] = &turns[0].parts[..]
        else {
            panic!("{turns:?}")
        };
        assert!(
            past.on_text
                && past.signature.as_deref() == Some("T")
                && past.wire == Some(WireId::Gemini)
        );
        assert_eq!(
            (call.signature.as_deref(), call.wire),
            (Some("C"), Some(WireId::Gemini))
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (item, param) in [
            (r#"{"content":"a"}"#, "input[0].role"),
            (r#"{"role":"tool","content":"a"}"#, "input[0].role"),
            (r#"{"role":"user"}"#, "input[0].content"),
            (
                r#"{"role":"user","content":[{"type":"video"}]}"#,
                "input[0].content[0].type",
            ),
            (
                r#"{"role":"user","content":[{"type":"input_file"}]}"#,
                "input[0].content[0].file_data",
            ),
            (r#"{"type":"web_search_call"}"#, "input[0].type"),
            (
                r#"{"type":"function_call","call_id":"c","name":"f"}"#,
                "input[0].arguments",
            ),
            (
                r#"{"type":"function_call_output","output":"x"}"#,
                "input[0].call_id",
            ),
        ] {
            assert_eq!(
                read(&format!(r#"{{"input":[{item}]}}"#))
                    .unwrap_err()
                    .param
                    .as_deref(),
                Some(param),
                "{item}"
            );
        }
    }
}
