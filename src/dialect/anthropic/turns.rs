//! Translates the turns of a conversation.
//!
//! Invariants: results of tools are turns of their own, before the other content of the same turn;
//! a model turn without content is dropped, because other APIs reject empty turns.

use super::cache::mark;
use super::content::{self, Content};
use crate::dialect::object::Object;
use crate::dialect::past::{CallSignatures, unwrapped};
use crate::model::chat::{Message, Origin, Part, PastCall, PastReasoning, Role, ToolResult};
use crate::model::fault::Fault;
use crate::model::opaque_signature::is_opaque_signature;
use crate::model::wire::WireId;

/// Returns the turns of a body, instructions first, and their positions in it.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn messages(top: &Object<'_>) -> Result<(Vec<Message>, Vec<Origin>), Fault> {
    let (mut messages, mut origins) = (Vec::new(), Vec::new());
    if let Some(system) = content::read(top, "system")? {
        push(&mut messages, Role::System, content::parts(system)?);
    }
    origins.resize(messages.len(), Origin::of(0));
    for (at, message) in top.objects("messages")?.iter().enumerate() {
        let before = messages.len();
        turn(message, &mut messages)?;
        let mut origin = Origin::of(at);
        for written in messages.iter().skip(before) {
            // The results of a turn are messages of their own; its other content follows them.
            if written.role == Role::Tool {
                origins.push(Origin::of(at));
                origin.content += 1;
            } else {
                origins.push(origin);
            }
        }
    }
    Ok((messages, origins))
}

/// Adds a turn, unless it holds nothing but cache marks.
fn push(messages: &mut Vec<Message>, role: Role, parts: Vec<Part>) {
    if parts.iter().any(|part| !matches!(part, Part::CacheMark(_))) {
        messages.push(Message {
            role,
            name: None,
            parts,
        });
    }
}

fn turn(message: &Object<'_>, messages: &mut Vec<Message>) -> Result<(), Fault> {
    let role = message.required("role")?;
    let content = content::read(message, "content")?
        .ok_or_else(|| message.invalid("content", "a string or an array of blocks"))?;
    match &*role {
        "user" => user(content, messages)?,
        "assistant" => push(messages, Role::Assistant, assistant(content)?),
        "system" => push(messages, Role::System, content::parts(content)?),
        _ => return Err(message.invalid("role", "`user`, `assistant` or `system`")),
    }
    Ok(())
}

fn user(content: Content<'_>, messages: &mut Vec<Message>) -> Result<(), Fault> {
    let blocks = match content {
        Content::Text(text) => {
            push(messages, Role::User, vec![Part::Text(text)]);
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::new();
    for block in &blocks {
        // The results of calls must directly follow the turn with the calls.
        if block.text("type")?.as_deref() == Some("tool_result") {
            push(messages, Role::Tool, result(block)?);
        } else {
            content::block(block, &mut parts)?;
        }
    }
    push(messages, Role::User, parts);
    Ok(())
}

fn result(block: &Object<'_>) -> Result<Vec<Part>, Fault> {
    let parts = content::read(block, "content")?
        .map(content::parts)
        .transpose()?
        .unwrap_or_default();
    let is_error = block.read("is_error", "true or false")?.unwrap_or(false);
    let result = ToolResult {
        id: block.non_empty("tool_use_id")?,
        name: None,
        parts,
        is_error,
    };
    Ok([Part::ToolResult(result)]
        .into_iter()
        .chain(mark(block)?.map(Part::CacheMark))
        .collect())
}

fn assistant(content: Content<'_>) -> Result<Vec<Part>, Fault> {
    let blocks = match content {
        Content::Text(text) => {
            // An empty text would make an empty turn, which other APIs reject.
            return Ok(Some(text)
                .filter(|text| !text.is_empty())
                .map(Part::Text)
                .into_iter()
                .collect());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut turn = Turn {
        parts: Vec::new(),
        call_signatures: CallSignatures::find(&blocks, "redacted_thinking", "data")?,
    };
    for block in &blocks {
        turn.block(block)?;
    }
    Ok(turn.parts)
}

/// A model turn under construction.
struct Turn {
    parts: Vec<Part>,
    call_signatures: CallSignatures,
}

impl Turn {
    fn block(&mut self, block: &Object<'_>) -> Result<(), Fault> {
        match &*block.required("type")? {
            "text" => {
                let text = block.required("text")?;
                self.parts
                    .extend(Some(text).filter(|text| !text.is_empty()).map(Part::Text));
                self.parts.extend(mark(block)?.map(Part::CacheMark));
            }
            "thinking" => self.thinking(
                block.string("thinking")?.unwrap_or_default(),
                block.string("signature")?.unwrap_or_default(),
            ),
            "redacted_thinking" => self.redacted(block.required("data")?),
            "tool_use" => {
                let call = self.call(block)?;
                self.parts.push(Part::ToolCall(call));
                self.parts.extend(mark(block)?.map(Part::CacheMark));
            }
            "image" | "document" | "search_result" => content::block(block, &mut self.parts)?,
            _ => {
                return Err(
                    block.invalid("type", "`text`, `thinking`, `redacted_thinking` or `tool_use` in an assistant turn, for this target")
                );
            }
        }
        Ok(())
    }

    /// Adds thinking. Thinking without a signature is dropped.
    fn thinking(&mut self, text: String, signature: String) {
        // No provider made a string that we wrapped, so none may be sent one.
        if is_opaque_signature(&signature) {
            self.opaque(text, &signature);
        } else if !signature.is_empty() {
            self.reasoning(PastReasoning {
                text,
                signature: Some(signature),
                redacted: None,
                wire: Some(WireId::Anthropic),
                on_text: false,
            });
        }
    }

    fn redacted(&mut self, data: String) {
        if is_opaque_signature(&data) {
            self.opaque(String::new(), &data);
        } else {
            let redacted = Some(data);
            self.reasoning(PastReasoning {
                text: String::new(),
                signature: None,
                redacted,
                wire: Some(WireId::Anthropic),
                on_text: false,
            });
        }
    }

    /// Adds a signature that another wire has made. The signature of a call is added with the call.
    fn opaque(&mut self, text: String, wrapped: &str) {
        if let Some(past) = unwrapped(text, wrapped) {
            self.reasoning(past);
        }
    }

    /// Adds past reasoning. The signature of a text goes before the text that it signs.
    fn reasoning(&mut self, past: PastReasoning) {
        // A cache mark may stand between the text and its signature.
        let last = self
            .parts
            .iter()
            .rposition(|part| !matches!(part, Part::CacheMark(_)));
        let signed =
            last.filter(|at| past.on_text && matches!(self.parts.get(*at), Some(Part::Text(_))));
        self.parts
            .insert(signed.unwrap_or(self.parts.len()), Part::Reasoning(past));
    }

    fn call(&mut self, block: &Object<'_>) -> Result<PastCall, Fault> {
        let id = block.non_empty("id")?;
        let input = block.raw("input").map_or("{}", |input| input.get());
        if !input.starts_with('{') {
            return Err(block.invalid("input", "an object"));
        }
        let (wire, signature) = self.call_signatures.take(&id);
        Ok(PastCall {
            id,
            name: block.non_empty("name")?,
            arguments: input.to_owned(),
            signature,
            wire,
            custom: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::opaque_signature::{OpaqueSignature, SignatureData};

    fn read(body: &str) -> Result<Vec<Message>, Fault> {
        messages(&Object::from_body(body.as_bytes()).unwrap()).map(|(messages, _)| messages)
    }

    fn turns(messages: &str) -> Result<Vec<Message>, Fault> {
        read(&format!(r#"{{"messages":{messages}}}"#))
    }

    /// Describes the parts of one model turn.
    fn model(blocks: &str) -> Vec<String> {
        let turns = turns(&format!(r#"[{{"role":"assistant","content":{blocks}}}]"#)).unwrap();
        let short = |part: &Part| match part {
            Part::Text(text) => format!("text {text}"),
            Part::Reasoning(it) => {
                let kind = if it.on_text { "on_text" } else { "thinking" };
                format!(
                    "{kind} {:?} {:?} {:?} {}",
                    it.text,
                    it.signature,
                    it.redacted,
                    it.wire.unwrap().name()
                )
            }
            Part::ToolCall(it) => format!(
                "call {} {} {} {:?} {:?}",
                it.id,
                it.name,
                it.arguments,
                it.signature,
                it.wire.map(WireId::name)
            ),
            Part::CacheMark(_) => "mark".to_owned(),
            part => panic!("{part:?}"),
        };
        turns
            .iter()
            .flat_map(|turn| &turn.parts)
            .map(short)
            .collect()
    }

    fn opaque(wire: WireId, kept: SignatureData) -> String {
        OpaqueSignature { wire, data: kept }.encode()
    }

    #[test]
    fn turns_have_their_position_in_the_body() {
        let body = r#"{"system":"s","messages":[
            {"role":"assistant","content":[]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"a"},{"type":"text","text":"t"}]},
            {"role":"assistant","content":"b"}]}"#;
        let top = Object::from_body(body.as_bytes()).unwrap();
        let (turns, origins) = super::messages(&top).unwrap();
        let found: Vec<_> = turns
            .iter()
            .zip(&origins)
            .map(|(turn, origin)| (turn.role, origin.message, origin.content))
            .collect();
        let expected = [
            (Role::System, 0, 0),
            (Role::Tool, 1, 0),
            (Role::User, 1, 1),
            (Role::Assistant, 2, 0),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn instructions_come_first_and_keep_their_places() {
        let turns = read(
            r#"{"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}],
                "messages":[{"role":"user","content":"c"},{"role":"system","content":"d"},{"role":"assistant","content":"e"}]}"#,
        )
        .unwrap();
        let roles: Vec<Role> = turns.iter().map(|turn| turn.role).collect();
        assert_eq!(
            roles,
            [Role::System, Role::User, Role::System, Role::Assistant]
        );
        assert!(matches!(
            &turns[0].parts[..],
            [Part::Text(_), Part::CacheMark(_), Part::Text(_)]
        ));
        assert_eq!(read(r#"{"system":"a","messages":[]}"#).unwrap().len(), 1);
    }

    #[test]
    fn tool_results_become_turns_before_the_other_content() {
        let turns = turns(
            r#"[{"role":"user","content":[{"type":"text","text":"and?"},
                {"type":"tool_result","tool_use_id":"1","content":"x","is_error":true,"cache_control":{"type":"ephemeral"}},
                {"type":"tool_result","tool_use_id":"2","content":[{"type":"text","text":"y"},{"type":"image","source":{"type":"url","url":"u"}}]},
                {"type":"tool_result","tool_use_id":"3"}]}]"#,
        )
        .unwrap();
        let [first, second, third, rest] = &turns[..] else {
            panic!("{turns:?}")
        };
        assert!(
            matches!(&first.parts[..], [Part::ToolResult(it), Part::CacheMark(_)] if it.id == "1" && it.is_error && it.parts.len() == 1)
        );
        assert!(
            matches!(&second.parts[..], [Part::ToolResult(it)] if it.id == "2" && !it.is_error && it.parts.len() == 2)
        );
        assert!(matches!(&third.parts[..], [Part::ToolResult(it)] if it.parts.is_empty()));
        assert_eq!(
            (first.role, third.role, rest.role),
            (Role::Tool, Role::Tool, Role::User)
        );
    }

    #[test]
    fn signatures_of_anthropic_are_for_anthropic() {
        let blocks = r#"[{"type":"thinking","thinking":"hm","signature":"S"},{"type":"redacted_thinking","data":"D"},{"type":"text","text":"t"}]"#;
        assert_eq!(
            model(blocks),
            [
                r#"thinking "hm" Some("S") None anthropic"#,
                r#"thinking "" None Some("D") anthropic"#,
                "text t"
            ]
        );
    }

    #[test]
    fn unsigned_thinking_is_dropped() {
        assert_eq!(
            model(
                r#"[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"t"},{"type":"text","text":""}]"#
            ),
            ["text t"]
        );
        assert!(
            model(r#"[{"type":"thinking","thinking":"hm"},{"type":"thinking","thinking":"","signature":"sluicegate:broken"}]"#).is_empty()
        );
        assert!(
            turns(r#"[{"role":"assistant","content":""},{"role":"assistant","content":[]}]"#)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn signatures_of_another_wire_are_for_that_wire() {
        let signed = opaque(
            WireId::Gemini,
            SignatureData {
                signature: Some("G".into()),
                ..SignatureData::default()
            },
        );
        let on_text = opaque(
            WireId::Gemini,
            SignatureData {
                signature: Some("T".into()),
                on_text: true,
                ..SignatureData::default()
            },
        );
        let of_call = opaque(
            WireId::Gemini,
            SignatureData {
                signature: Some("C".into()),
                call: Some("2".into()),
                ..SignatureData::default()
            },
        );
        let encrypted = opaque(
            WireId::OpenaiResponses,
            SignatureData {
                redacted: Some("E".into()),
                signature: Some("rs_1".into()),
                ..SignatureData::default()
            },
        );
        let blocks = format!(
            r#"[{{"type":"thinking","thinking":"hm","signature":"{signed}"}},{{"type":"redacted_thinking","data":"{encrypted}"}},
                {{"type":"text","text":"t"}},{{"type":"redacted_thinking","data":"{on_text}"}},
                {{"type":"tool_use","id":"1","name":"f","input":{{"a": 1}}}},{{"type":"tool_use","id":"2","name":"g","input":{{}}}},
                {{"type":"redacted_thinking","data":"{of_call}"}}]"#
        );
        let expected = [
            r#"thinking "hm" Some("G") None gemini"#,
            r#"thinking "" Some("rs_1") Some("E") openai-responses"#,
            r#"on_text "" Some("T") None gemini"#,
            "text t",
            r#"call 1 f {"a": 1} None None"#,
            r#"call 2 g {} Some("C") Some("gemini")"#,
        ];
        assert_eq!(model(&blocks), expected);
    }

    #[test]
    fn errors_name_the_invalid_field() {
        for (message, param) in [
            (r#"{"content":"a"}"#, "messages[0].role"),
            (r#"{"role":"tool","content":"a"}"#, "messages[0].role"),
            (r#"{"role":"user"}"#, "messages[0].content"),
            (
                r#"{"role":"user","content":[{"type":"tool_result"}]}"#,
                "messages[0].content[0].tool_use_id",
            ),
            (
                r#"{"role":"user","content":[{"type":"tool_use"}]}"#,
                "messages[0].content[0].type",
            ),
            (
                r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"tool_reference"}]}]}"#,
                "messages[0].content[0].content[0].type",
            ),
            (
                r#"{"role":"assistant","content":[{"type":"server_tool_use"}]}"#,
                "messages[0].content[0].type",
            ),
            (
                r#"{"role":"assistant","content":[{"type":"tool_use","name":"f"}]}"#,
                "messages[0].content[0].id",
            ),
            (
                r#"{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":"{}"}]}"#,
                "messages[0].content[0].input",
            ),
            (r#"{"role":"system","content":7}"#, "messages[0].content"),
        ] {
            assert_eq!(
                turns(&format!("[{message}]")).unwrap_err().param.as_deref(),
                Some(param),
                "{message}"
            );
        }
    }
}
