//! Translates UI messages into the turns of a chat.
//!
//! An assistant message may contain several steps. Each step is a turn of the model, followed by
//! the results of its tools. Not sent to the model: `data-*` and `source-*` parts, `step-start`,
//! `custom` and `steering-message`, which are between page and server, and calls whose input was
//! never complete.

use serde_json::value::RawValue;

use super::parts::OWN_METADATA;
use crate::dialect::media::source;
use crate::dialect::object::Object;
use crate::model::chat::{
    Message, Origin, Part, PastCall, PastReasoning, Role, Source, ToolResult,
};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Adds the turns of a request, and their positions in it.
///
/// # Errors
/// A 400 that names the field and the expected value.
pub(super) fn read(
    top: &Object<'_>,
    turns: &mut Vec<Message>,
    origins: &mut Vec<Origin>,
) -> Result<(), Fault> {
    let messages = top.objects("messages")?;
    if messages.is_empty() {
        return Err(top.invalid("messages", "a non-empty array of UI messages"));
    }
    for (at, message) in messages.iter().enumerate() {
        match &*message.required("role")? {
            "system" => plain_message(message, Role::System, turns)?,
            "user" => plain_message(message, Role::User, turns)?,
            "assistant" => assistant_message(message, turns)?,
            _ => return Err(message.invalid("role", "`system`, `user` or `assistant`")),
        }
        origins.resize(turns.len(), Origin::of(at));
    }
    Ok(())
}

fn parts<'a>(message: &Object<'a>) -> Result<Vec<Object<'a>>, Fault> {
    if message.raw("parts").is_none() {
        return Err(message.invalid("parts", "an array of parts"));
    }
    message.objects("parts")
}

fn plain_message(message: &Object<'_>, role: Role, turns: &mut Vec<Message>) -> Result<(), Fault> {
    let mut content = Vec::new();
    for part in parts(message)? {
        match &*part.required("type")? {
            "text" => content.push(Part::Text(part.required("text")?)),
            "file" if role == Role::User => content.push(file(&part)?),
            kind if is_ui_only(kind) => {}
            _ => {
                return Err(part.invalid(
                    "type",
                    if role == Role::User {
                        "`text`, `file` or `data-…`"
                    } else {
                        "`text`"
                    },
                ));
            }
        }
    }
    if !content.is_empty() {
        turns.push(Message {
            role,
            name: None,
            parts: content,
        });
    }
    Ok(())
}

/// Returns true for parts that are not sent to the model.
fn is_ui_only(kind: &str) -> bool {
    kind.starts_with("data-")
        || matches!(
            kind,
            "source-url" | "source-document" | "step-start" | "custom" | "steering-message"
        )
}

fn file(part: &Object<'_>) -> Result<Part, Fault> {
    let kind = part.non_empty("mediaType")?;
    let source = source(part, "url")?;
    Ok(match source {
        // Only inline audio has a part of its own; linked audio is a file.
        Source::Data { base64, .. } if kind.starts_with("audio/") => Part::Audio {
            data: base64,
            format: audio_format(&kind),
        },
        Source::Data { base64, .. } if kind.starts_with("image/") => Part::Image {
            source: Source::Data {
                media_type: kind,
                base64,
            },
            detail: None,
        },
        Source::Data { base64, .. } => Part::File {
            source: Source::Data {
                media_type: kind,
                base64,
            },
            filename: part.string("filename")?,
        },
        linked if kind.starts_with("image/") => Part::Image {
            source: linked,
            detail: None,
        },
        linked => Part::File {
            source: linked,
            filename: part.string("filename")?,
        },
    })
}

/// Returns the audio format under OpenAI's name.
fn audio_format(kind: &str) -> String {
    match kind.trim_start_matches("audio/") {
        "mpeg" | "mp3" => "mp3",
        "wav" | "x-wav" | "wave" => "wav",
        other => other,
    }
    .to_owned()
}

/// One step of the model: its parts, and the results of its tools.
#[derive(Default)]
struct Step {
    parts: Vec<Part>,
    results: Vec<Part>,
}

impl Step {
    fn end(&mut self, turns: &mut Vec<Message>) {
        for (role, parts) in [
            (Role::Assistant, std::mem::take(&mut self.parts)),
            (Role::Tool, std::mem::take(&mut self.results)),
        ] {
            if !parts.is_empty() {
                turns.push(Message {
                    role,
                    name: None,
                    parts,
                });
            }
        }
    }
}

fn assistant_message(message: &Object<'_>, turns: &mut Vec<Message>) -> Result<(), Fault> {
    let mut step = Step::default();
    for part in parts(message)? {
        match &*part.required("type")? {
            "step-start" => step.end(turns),
            "text" => text(&part, &mut step)?,
            "reasoning" => step.parts.extend(reasoning(&part)?),
            "file" => step.parts.push(file(&part)?),
            "dynamic-tool" => tool(&part, part.non_empty("toolName")?, &mut step)?,
            kind if is_ui_only(kind) || kind == "reasoning-file" => {}
            kind => match kind.strip_prefix("tool-").filter(|name| !name.is_empty()) {
                Some(name) => tool(&part, name.to_owned(), &mut step)?,
                None => return Err(part.invalid("type", "a part of a UI message")),
            },
        }
    }
    step.end(turns);
    Ok(())
}

fn text(part: &Object<'_>, step: &mut Step) -> Result<(), Fault> {
    let text = part.required("text")?;
    let own = OwnMetadata::parse(part, "providerMetadata")?;
    // The protocol has no refusal: our metadata marks the text part.
    if own.kind.as_deref() == Some("refusal") {
        step.parts.push(Part::Refusal(text));
        return Ok(());
    }
    if let (Some(signature), Some(wire)) = (own.signature, own.wire) {
        let past = PastReasoning {
            text: String::new(),
            signature: Some(signature),
            redacted: None,
            wire: Some(wire),
            on_text: true,
        };
        step.parts.push(Part::Reasoning(past));
    }
    if !text.is_empty() {
        step.parts.push(Part::Text(text));
    }
    Ok(())
}

fn reasoning(part: &Object<'_>) -> Result<Option<Part>, Fault> {
    let text = part.required("text")?;
    let own = OwnMetadata::parse(part, "providerMetadata")?;
    let past = PastReasoning {
        text,
        signature: own.signature,
        redacted: own.redacted,
        wire: own.wire,
        on_text: false,
    };
    let has_content = !past.text.is_empty() || past.signature.is_some() || past.redacted.is_some();
    Ok(has_content.then_some(Part::Reasoning(past)))
}

fn tool(part: &Object<'_>, name: String, step: &mut Step) -> Result<(), Fault> {
    let id = part.non_empty("toolCallId")?;
    let state = part.required("state")?;
    // The call was cut off before its input was complete.
    if state == "input-streaming" {
        return Ok(());
    }
    let own = OwnMetadata::parse(part, "callProviderMetadata")?;
    // The SDK stores input that it could not parse as `rawInput`.
    let input = part.raw("input").or_else(|| part.raw("rawInput"));
    let (arguments, custom) = arguments(input);
    step.parts.push(Part::ToolCall(PastCall {
        id: id.clone(),
        name: name.clone(),
        arguments,
        signature: own.signature,
        wire: own.wire,
        custom,
    }));
    let (text, is_error) = match &*state {
        "output-available" => (output_text(part.raw("output")), false),
        "output-error" => (
            part.string("errorText")?
                .unwrap_or_else(|| "the tool failed".to_owned()),
            true,
        ),
        "output-denied" => ("the user has denied this tool call".to_owned(), true),
        // The call has no result yet.
        "input-available" | "approval-requested" | "approval-responded" => return Ok(()),
        _ => return Err(part.invalid("state", "a state of a tool part")),
    };
    step.results.push(Part::ToolResult(ToolResult {
        id,
        name: Some(name),
        parts: vec![Part::Text(text)],
        is_error,
    }));
    Ok(())
}

/// Returns the arguments as JSON text, and true if they are a bare string: the input of a custom
/// tool.
fn arguments(input: Option<&RawValue>) -> (String, bool) {
    match input.map(RawValue::get) {
        None => (String::new(), false),
        Some(json) if json.starts_with('"') => {
            (serde_json::from_str(json).unwrap_or_default(), true)
        }
        Some(json) => (json.to_owned(), false),
    }
}

/// Returns the output of a tool: a string as its text, any other value as JSON.
fn output_text(json: Option<&RawValue>) -> String {
    let json = json.map_or("null", RawValue::get);
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

/// Our own members of a part's metadata.
#[derive(Default)]
struct OwnMetadata {
    wire: Option<WireId>,
    signature: Option<String>,
    redacted: Option<String>,
    kind: Option<String>,
}

impl OwnMetadata {
    fn parse(part: &Object<'_>, field: &str) -> Result<Self, Fault> {
        let Some(metadata) = part.object(field)? else {
            return Ok(Self::default());
        };
        let Some(own) = metadata.object(OWN_METADATA)? else {
            return Ok(Self::default());
        };
        let wire = own.string("wire")?.as_deref().and_then(WireId::from_name);
        // A signature is useless without its wire, to which alone it is sent.
        let signed = |value: Option<String>| value.filter(|_| wire.is_some());
        Ok(Self {
            wire,
            signature: signed(own.string("signature")?),
            redacted: signed(own.string("redacted")?),
            kind: own.string("kind")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(messages: &str) -> Result<Vec<Message>, Fault> {
        let body = format!(r#"{{"messages":{messages}}}"#);
        let mut turns = Vec::new();
        super::read(
            &Object::from_body(body.as_bytes()).unwrap(),
            &mut turns,
            &mut Vec::new(),
        )?;
        Ok(turns)
    }

    #[test]
    fn every_step_is_a_turn_followed_by_its_tool_results() {
        let turns = turns(
            r#"[{"id":"1","role":"user","parts":[{"type":"text","text":"look"},
                 {"type":"file","mediaType":"image/png","url":"data:image/png;base64,AA=="},{"type":"data-x","data":{}}]},
               {"id":"2","role":"assistant","parts":[{"type":"step-start"},
                 {"type":"reasoning","text":"hm","providerMetadata":{"sluicegate":{"wire":"anthropic","signature":"s"}}},
                 {"type":"text","text":"a"},{"type":"tool-f","toolCallId":"c1","state":"output-available","input":{"x": 1},"output":{"y":2}},
                 {"type":"dynamic-tool","toolName":"g","toolCallId":"c2","state":"output-error","input":{},"errorText":"no"},
                 {"type":"step-start"},{"type":"text","text":"b"},{"type":"tool-h","toolCallId":"c3","state":"input-streaming"}]}]"#,
        )
        .unwrap();
        let roles: Vec<_> = turns.iter().map(|turn| turn.role).collect();
        assert_eq!(
            roles,
            [Role::User, Role::Assistant, Role::Tool, Role::Assistant]
        );
        assert!(matches!(
            &turns[0].parts[..],
            [
                Part::Text(_),
                Part::Image {
                    source: Source::Data { .. },
                    ..
                }
            ]
        ));
        let [
            Part::Reasoning(past),
            Part::Text(_),
            Part::ToolCall(f),
            Part::ToolCall(g),
        ] = &turns[1].parts[..]
        else {
            panic!("{:?}", turns[1])
        };
        assert_eq!(
            (past.signature.as_deref(), past.wire),
            (Some("s"), Some(WireId::Anthropic))
        );
        assert_eq!((&*f.arguments, &*g.name), (r#"{"x": 1}"#, "g"));
        let [Part::ToolResult(y), Part::ToolResult(no)] = &turns[2].parts[..] else {
            panic!("{:?}", turns[2])
        };
        assert!(matches!(&y.parts[..], [Part::Text(text)] if text == r#"{"y":2}"#) && !y.is_error);
        assert!(matches!(&no.parts[..], [Part::Text(text)] if text == "no") && no.is_error);
        assert_eq!(
            turns[3].parts.len(),
            1,
            "a call that was never complete is left out"
        );
    }

    #[test]
    fn errors_name_the_invalid_field() {
        for (messages, param) in [
            ("[]", "messages"),
            (r#"[{"role":"user"}]"#, "messages[0].parts"),
            (r#"[{"role":"robot","parts":[]}]"#, "messages[0].role"),
            (
                r#"[{"role":"user","parts":[{"type":"text"}]}]"#,
                "messages[0].parts[0].text",
            ),
            (
                r#"[{"role":"user","parts":[{"type":"hologram"}]}]"#,
                "messages[0].parts[0].type",
            ),
            (
                r#"[{"role":"user","parts":[{"type":"file","url":"x"}]}]"#,
                "messages[0].parts[0].mediaType",
            ),
            (
                r#"[{"role":"user","parts":[{"type":"file","mediaType":"image/png","url":"data:nope"}]}]"#,
                "messages[0].parts[0].url",
            ),
            (
                r#"[{"role":"assistant","parts":[{"type":"tool-f","state":"output-available"}]}]"#,
                "messages[0].parts[0].toolCallId",
            ),
            (
                r#"[{"role":"assistant","parts":[{"type":"tool-f","toolCallId":"c","state":"??"}]}]"#,
                "messages[0].parts[0].state",
            ),
            (
                r#"[{"role":"assistant","parts":[{"type":"text","text":"a","providerMetadata":{"sluicegate":7}}]}]"#,
                "messages[0].parts[0].providerMetadata.sluicegate",
            ),
        ] {
            assert_eq!(
                turns(messages).unwrap_err().param.as_deref(),
                Some(param),
                "{messages}"
            );
        }
    }

    #[test]
    fn signatures_of_text_precede_it_and_refusals_stay_refusals() {
        let turns = turns(
            r#"[{"role":"assistant","parts":[{"type":"text","text":"a","providerMetadata":{"sluicegate":{"wire":"gemini","signature":"g"}}},
                {"type":"text","text":"no","providerMetadata":{"sluicegate":{"kind":"refusal"}}},
                {"type":"reasoning","text":"","providerMetadata":{"other":{"signature":"x"}}}]}]"#,
        )
        .unwrap();
        let [Part::Reasoning(past), Part::Text(_), Part::Refusal(_)] = &turns[0].parts[..] else {
            panic!("{turns:?}")
        };
        assert!(past.on_text && past.wire == Some(WireId::Gemini));
    }
}
