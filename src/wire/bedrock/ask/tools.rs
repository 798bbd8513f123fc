//! Tool declarations and the tool choice.
//!
//! The API has no tool choice "none": tools that must not be called are not declared. But it
//! accepts a conversation with past tool calls only together with tools. If no tool may be called,
//! the tools called so far are declared as placeholders, without parameters and with a description
//! that says that they cannot be called any more.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use super::family::Family;
use crate::model::accepts::Accepts;
use crate::model::chat::{Chat, Part};
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::bedrock::turns::CachePoint;
use crate::wire::kit::tools::{self, Declared, Offered, offer};
use crate::wire::kit::{refusals, schema};

/// Description of a tool that was called before and must not be called now.
const PLACEHOLDER_DESCRIPTION: &str = "This tool cannot be called any more.";

/// Name of the placeholder if the conversation contains tool results without names.
const PLACEHOLDER_NAME: &str = "tool";

/// `toolConfig`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<Declaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Declaration<'a> {
    ToolSpec {
        name: &'a str,
        description: Option<&'a str>,
        input_schema: Schema<'a>,
        strict: Option<bool>,
    },
    CachePoint(CachePoint<'a>),
}

#[derive(Serialize)]
struct Schema<'a> {
    json: Cow<'a, RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
}

/// Returns the tools that the model may call, and the tool choice.
pub(super) fn tool_config<'a>(
    chat: &'a Chat,
    accepts: &Accepts,
    family: Family,
) -> Result<Option<ToolConfig<'a>>, Fault> {
    let offer = offer(chat, accepts)?;
    let mut tools = Vec::with_capacity(offer.tools.len());
    for offered in offer.tools {
        declare(offered, accepts, family, &mut tools)?;
    }
    if tools.is_empty() {
        tools = placeholders(chat, accepts)?;
    }
    let tool_choice = match offer.choice {
        Some(tools::Choice::Auto) => Some(Choice::Auto {}),
        Some(tools::Choice::Required) => Some(Choice::Any {}),
        Some(tools::Choice::Named(name)) => Some(Choice::Tool { name }),
        Some(tools::Choice::None | tools::Choice::Allowed { .. }) | None => None,
    };
    Ok((!tools.is_empty()).then_some(ToolConfig { tools, tool_choice }))
}

/// Returns a placeholder for each tool that was called so far.
fn placeholders<'a>(chat: &'a Chat, accepts: &Accepts) -> Result<Vec<Declaration<'a>>, Fault> {
    let parts = || chat.messages.iter().flat_map(|message| &message.parts);
    // A set gives each tool once, in the same order for the same conversation.
    let mut names: BTreeSet<&str> = parts().filter_map(called_name).collect();
    // The API asks for tools beside results as well, even if their calls are missing.
    if names.is_empty() && parts().any(|part| matches!(part, Part::ToolResult(_))) {
        names.insert(PLACEHOLDER_NAME);
    }
    let declare = |name| {
        let input_schema = Schema {
            json: schema::parameters(None, accepts, 0)?,
        };
        Ok(Declaration::ToolSpec {
            name,
            description: Some(PLACEHOLDER_DESCRIPTION),
            input_schema,
            strict: None,
        })
    };
    names.into_iter().map(declare).collect()
}

fn called_name(part: &Part) -> Option<&str> {
    match part {
        Part::ToolCall(call) => Some(&call.name),
        Part::ToolResult(result) => result.name.as_deref(),
        _ => None,
    }
}

fn declare<'a>(
    offered: Offered<'a>,
    accepts: &Accepts,
    family: Family,
    all: &mut Vec<Declaration<'a>>,
) -> Result<(), Fault> {
    let function = match offered.declare(WireId::Bedrock, accepts)? {
        Declared::Function(function) => function,
        Declared::Native(_) => return Err(refusals::native_tool(offered.at, "bedrock")),
    };
    all.push(Declaration::ToolSpec {
        name: function.name,
        description: function.description,
        input_schema: Schema {
            json: function.parameters,
        },
        strict: function.strict.filter(|strict| *strict),
    });
    // Amazon's own models do not cache tools.
    let mark = function.cache.filter(|_| family.may_be_claude());
    all.extend(mark.map(|mark| Declaration::CachePoint(CachePoint::from_mark(mark, family))));
    Ok(())
}
