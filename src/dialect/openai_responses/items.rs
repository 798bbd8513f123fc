//! Translates the input (instructions, then items) into turns.
//!
//! Invariants: consecutive text, reasoning and calls of the model are one turn; each tool result is
//! a turn of its own. Reasoning without `encrypted_content` is omitted: no provider can continue
//! from its text alone.

use serde_json::value::RawValue;

use super::content;
use crate::dialect::object::Object;
use crate::dialect::past::{CallSignatures, unwrapped};
use crate::model::chat::{Message, Origin, Part, PastCall, PastReasoning, Role, ToolResult};
use crate::model::fault::Fault;
use crate::model::opaque_signature::is_opaque_signature;
use crate::model::wire::WireId;

/// Returns the turns of a request, instructions first, and their positions in its input.
///
/// # Errors
/// A 400 that names the field and the expected value.
pub(super) fn messages(top: &Object<'_>) -> Result<(Vec<Message>, Vec<Origin>), Fault> {
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
            turns.call_signatures = CallSignatures::find(&items, "reasoning", "encrypted_content")?;
            for (at, item) in items.iter().enumerate() {
                turns.at = at;
                turns.item(item)?;
            }
        }
    }
    Ok((turns.messages, turns.origins))
}

#[derive(Default)]
struct Turns {
    messages: Vec<Message>,
    origins: Vec<Origin>,
    /// The index of the item that is being read.
    at: usize,
    call_signatures: CallSignatures,
}

impl Turns {
    fn push(&mut self, role: Role, parts: Vec<Part>) {
        if !parts.is_empty() {
            self.messages.push(Message {
                role,
                name: None,
                parts,
            });
            self.origins.push(Origin::of(self.at));
        }
    }

    /// Adds parts to the current turn of the model, or begins one.
    fn push_to_assistant(&mut self, parts: impl IntoIterator<Item = Part>) {
        match self.messages.last_mut() {
            Some(last) if last.role == Role::Assistant => last.parts.extend(parts),
            _ => self.push(Role::Assistant, parts.into_iter().collect()),
        }
    }

    fn item(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let kind = item.text("type")?;
        match kind.as_deref() {
            // The type of a message may be missing.
            None | Some("message") => self.message(item)?,
            Some("function_call") => self.call(item, "arguments")?,
            Some("custom_tool_call") => self.call(item, "input")?,
            Some("function_call_output" | "custom_tool_call_output") => {
                let parts = content::read(item, "output")?;
                let result = ToolResult { id: item.non_empty("call_id")?, name: None, parts, is_error: false };
                self.push(Role::Tool, vec![Part::ToolResult(result)]);
            }
            Some("reasoning") => self.reasoning(item)?,
            Some(_) => return Err(item.invalid("type", "`message`, `function_call`, `function_call_output`, `custom_tool_call`, `custom_tool_call_output` or `reasoning`, for this target")),
        }
        Ok(())
    }

    fn message(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let role = item.required("role")?;
        let parts = content::read(item, "content")?;
        match &*role {
            "user" => self.push(Role::User, parts),
            // `developer` is OpenAI's newer name of `system`.
            "system" | "developer" => self.push(Role::System, parts),
            "assistant" => self.push_to_assistant(
                parts
                    .into_iter()
                    .filter(|part| !matches!(part, Part::Text(text) if text.is_empty())),
            ),
            _ => return Err(item.invalid("role", "`user`, `assistant`, `system` or `developer`")),
        }
        Ok(())
    }

    fn call(&mut self, item: &Object<'_>, field: &str) -> Result<(), Fault> {
        let (id, name) = (item.non_empty("call_id")?, item.non_empty("name")?);
        let (wire, signature) = self.call_signatures.take(&id);
        let call = PastCall {
            id,
            name,
            arguments: item.required(field)?,
            signature,
            wire,
            custom: field == "input",
        };
        self.push_to_assistant([Part::ToolCall(call)]);
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
        if is_opaque_signature(&encrypted) {
            if let Some(past) = unwrapped(text, &encrypted) {
                self.push_reasoning(past);
            }
            return Ok(());
        }
        // The provider accepts encrypted content only under the id of its item, so the id is kept
        // too.
        self.push_reasoning(PastReasoning {
            text,
            signature: item.string("id")?,
            redacted: Some(encrypted),
            wire: Some(WireId::OpenaiResponses),
            on_text: false,
        });
        Ok(())
    }

    /// Adds reasoning. A signature of text is inserted before the text that it signs.
    fn push_reasoning(&mut self, past: PastReasoning) {
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
        self.push_to_assistant([Part::Reasoning(past)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::opaque_signature::{OpaqueSignature, SignatureData};

    fn read(body: &str) -> Result<Vec<Message>, Fault> {
        messages(&Object::from_body(body.as_bytes()).unwrap()).map(|(messages, _)| messages)
    }

    #[test]
    fn consecutive_items_of_the_model_are_one_turn() {
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
    fn signatures_of_another_wire_keep_their_wire() {
        let wrap = |kept: SignatureData| {
            OpaqueSignature {
                wire: WireId::Gemini,
                data: kept,
            }
            .encode()
        };
        let on_text = wrap(SignatureData {
            signature: Some("T".into()),
            on_text: true,
            ..SignatureData::default()
        });
        let of_call = wrap(SignatureData {
            signature: Some("C".into()),
            call: Some("c".into()),
            ..SignatureData::default()
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
    fn errors_name_the_invalid_field() {
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
