//! Writes the functions that the model may call, and its past calls.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::MessagePosition;
use crate::model::chat::{Chat, PastCall, Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// A function declaration in OpenAI's shape.
#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
pub(in crate::wire) struct Declared<'a> {
    function: Function<'a>,
    /// True if arguments must match the schema. Each wire writes this in its own place.
    #[serde(skip)]
    pub(in crate::wire) strict: bool,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawValue,
}

/// Returns the functions that the model may call. These wires have no list of allowed functions, so
/// that functions which are not allowed are left out.
///
/// # Errors
/// A 400 for a choice that names an undeclared tool, and for tools that are not functions.
pub(in crate::wire) fn declare_tools(
    chat: &Chat,
    wire: WireId,
) -> Result<Vec<Declared<'_>>, Fault> {
    let allowed = match &chat.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => names.as_slice(),
        Some(ToolChoice::Named(name)) => std::slice::from_ref(name),
        _ => {
            return chat
                .tools
                .iter()
                .map(|tool| declare_tool(tool, wire))
                .collect();
        }
    };
    if let Some(unknown) = allowed.iter().find(|name| {
        !chat
            .tools
            .iter()
            .any(|tool| tool_name(tool) == name.as_str())
    }) {
        return Err(Fault::invalid(
            "tool_choice",
            format!("tool_choice: {unknown} is not declared in tools"),
        ));
    }
    let allowed_tools = chat
        .tools
        .iter()
        .filter(|tool| allowed.iter().any(|name| name == tool_name(tool)));
    allowed_tools.map(|tool| declare_tool(tool, wire)).collect()
}

fn tool_name(tool: &Tool) -> &str {
    match tool {
        Tool::Function { name, .. } => name,
        Tool::Native { kind, .. } => kind,
    }
}

fn declare_tool(tool: &Tool, wire: WireId) -> Result<Declared<'_>, Fault> {
    match tool {
        Tool::Function {
            name,
            description,
            parameters,
            strict,
            ..
        } => {
            let description = description.as_deref().filter(|text| !text.is_empty());
            let parameters = parameters
                .as_deref()
                .unwrap_or_else(|| json(r#"{"type":"object","properties":{}}"#));
            Ok(Declared {
                function: Function {
                    name,
                    description,
                    parameters,
                },
                strict: *strict == Some(true),
            })
        }
        Tool::Native { kind, .. } => {
            let message = format!(
                "tools: the {} wire does not support tools of type {kind}; use functions",
                wire.name()
            );
            Err(Fault::invalid("tools", message))
        }
    }
}

/// Returns the arguments of a past call. These wires require an object: free text of a custom tool
/// is wrapped in one.
///
/// # Errors
/// A 400 if the arguments are not a JSON object.
pub(in crate::wire) fn arguments(
    call: &PastCall,
    position: MessagePosition,
) -> Result<Cow<'_, RawValue>, Fault> {
    #[derive(Serialize)]
    struct Free<'a> {
        input: &'a str,
    }
    let not_object = || position.invalid("the arguments of a tool call are not a JSON object");
    match call.arguments.trim() {
        _ if call.custom => serde_json::value::to_raw_value(&Free {
            input: &call.arguments,
        })
        .map(Cow::Owned)
        .map_err(|_| not_object()),
        // Models leave the arguments of a function without parameters empty.
        "" => Ok(Cow::Borrowed(json("{}"))),
        object if object.starts_with('{') => serde_json::from_str(object)
            .map(Cow::Borrowed)
            .map_err(|_| not_object()),
        _ => Err(not_object()),
    }
}

/// Returns a JSON literal as a raw value.
fn json(text: &'static str) -> &'static RawValue {
    serde_json::from_str(text).expect("the literal is valid JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn function(name: &str, parameters: Option<&str>) -> Tool {
        let parameters = parameters.map(|json| RawValue::from_string(json.into()).unwrap());
        Tool::Function {
            name: name.into(),
            description: Some("d".into()),
            parameters,
            strict: None,
            cache: None,
        }
    }

    fn names(tool_choice: Option<ToolChoice>) -> Result<Vec<String>, Fault> {
        let tools = vec![function("a", None), function("b", None)];
        let chat = Chat {
            tools,
            tool_choice,
            ..Chat::default()
        };
        declare_tools(&chat, WireId::Cohere)
            .map(|tools| tools.iter().map(|it| it.function.name.to_owned()).collect())
    }

    fn arguments_json(arguments: &str, custom: bool) -> Result<Value, Fault> {
        let call = PastCall {
            id: "1".into(),
            name: "f".into(),
            arguments: arguments.into(),
            signature: None,
            wire: None,
            custom,
        };
        let position = MessagePosition {
            wire: WireId::Ollama,
            at: 3,
        };
        super::arguments(&call, position).map(|json| serde_json::from_str(json.get()).unwrap())
    }

    #[test]
    fn functions_are_written_in_openais_shape() {
        let chat = Chat {
            tools: vec![
                function("a", Some(r#"{"type":"object","x":1}"#)),
                function("b", None),
            ],
            ..Chat::default()
        };
        let expected = json!([
            {"type": "function", "function": {"name": "a", "description": "d", "parameters": {"type": "object", "x": 1}}},
            {"type": "function", "function": {"name": "b", "description": "d", "parameters": {"type": "object", "properties": {}}}},
        ]);
        assert_eq!(
            json!(declare_tools(&chat, WireId::Ollama).unwrap()),
            expected
        );
    }

    #[test]
    fn only_allowed_functions_are_declared() {
        let allowed = |name: &str| {
            Some(ToolChoice::Allowed {
                names: vec![name.into()],
                required: false,
            })
        };
        assert_eq!(names(None).unwrap(), ["a", "b"]);
        assert_eq!(names(Some(ToolChoice::Required)).unwrap(), ["a", "b"]);
        assert_eq!(names(allowed("b")).unwrap(), ["b"]);
        assert_eq!(names(Some(ToolChoice::Named("a".into()))).unwrap(), ["a"]);
        for choice in [allowed("c"), Some(ToolChoice::Named("c".into()))] {
            assert_eq!(
                names(choice).unwrap_err().param.as_deref(),
                Some("tool_choice")
            );
        }
    }

    #[test]
    fn native_tools_of_another_wire_are_rejected() {
        let json = RawValue::from_string("{}".into()).unwrap();
        let native = Tool::Native {
            wire: WireId::Anthropic,
            kind: "web_search".into(),
            json,
        };
        let chat = Chat {
            tools: vec![native],
            ..Chat::default()
        };
        let Err(fault) = declare_tools(&chat, WireId::Ollama) else {
            panic!("the tool must be rejected")
        };
        assert_eq!(
            (fault.status.as_u16(), fault.param.as_deref()),
            (400, Some("tools"))
        );
        assert!(fault.message.contains("web_search"));
    }

    #[test]
    fn arguments_must_be_an_object() {
        assert_eq!(
            arguments_json(" {\"a\":1} ", false).unwrap(),
            json!({"a": 1})
        );
        assert_eq!(arguments_json("", false).unwrap(), json!({}));
        assert_eq!(
            arguments_json("free \"text\"", true).unwrap(),
            json!({"input": "free \"text\""})
        );
        for broken in ["{\"a\":", "[1]", "x", "{} {}"] {
            assert_eq!(
                arguments_json(broken, false).unwrap_err().param.as_deref(),
                Some("messages[3]")
            );
        }
    }
}
