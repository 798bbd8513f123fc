//! Tool declarations and the tool choice.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use crate::model::accepts::Accepts;
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::anthropic::turns::CacheControl;
use crate::wire::kit::tools::{self, Declared, Offer, Offered};

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Declaration<'a> {
    Function {
        name: &'a str,
        description: Option<&'a str>,
        input_schema: Cow<'a, RawValue>,
        strict: Option<bool>,
        cache_control: Option<CacheControl<'a>>,
    },
    Native(&'a RawValue),
}

#[skip_serializing_none]
#[derive(Serialize)]
pub(super) struct Choice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: Option<&'a str>,
    disable_parallel_tool_use: Option<bool>,
}

/// Returns the declarations of the tools that are offered.
pub(super) fn declarations<'a>(
    offer: &Offer<'a>,
    accepts: &Accepts,
) -> Result<Vec<Declaration<'a>>, Fault> {
    let declare = |offered: &Offered<'a>| {
        Ok(match offered.declare(WireId::Anthropic, accepts)? {
            Declared::Native(json) => Declaration::Native(json),
            Declared::Function(function) => Declaration::Function {
                name: function.name,
                description: function.description,
                input_schema: function.parameters,
                strict: function.strict.filter(|strict| *strict),
                cache_control: function.cache.map(CacheControl::from_mark),
            },
        })
    };
    offer.tools.iter().map(declare).collect()
}

/// Returns the tool choice, which is sent only together with tools.
pub(super) fn tool_choice<'a>(
    offer: &Offer<'a>,
    parallel_tools: Option<bool>,
) -> Option<Choice<'a>> {
    let single = parallel_tools == Some(false);
    let (kind, name) = match offer.choice {
        Some(tools::Choice::None) => ("none", None),
        Some(tools::Choice::Required) => ("any", None),
        Some(tools::Choice::Named(name)) => ("tool", Some(name)),
        Some(tools::Choice::Auto | tools::Choice::Allowed { .. }) => ("auto", None),
        // The switch for parallel calls is a member of the choice, so there must be one.
        None if single && !offer.tools.is_empty() => ("auto", None),
        None => return None,
    };
    Some(Choice {
        kind,
        name,
        // Without any call there are no parallel ones.
        disable_parallel_tool_use: (single && kind != "none").then_some(true),
    })
}
