//! Declarations of functions in OpenAI's shape, which several wires share.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::refusals;
use super::tools::{Declared, Offer};
use crate::model::accepts::Accepts;
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// A function declaration in OpenAI's shape.
#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
pub(in crate::wire) struct Declaration<'a> {
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
    parameters: Cow<'a, RawValue>,
}

impl<'a> Offer<'a> {
    /// Returns the declarations of the tools for a wire that has functions only.
    ///
    /// # Errors
    /// A 400 for a tool that is no function.
    pub(in crate::wire) fn functions(
        &self,
        wire: WireId,
        accepts: &Accepts,
    ) -> Result<Vec<Declaration<'a>>, Fault> {
        let declare = |offered: &super::tools::Offered<'a>| match offered.declare(wire, accepts)? {
            Declared::Function(function) => Ok(Declaration {
                function: Function {
                    name: function.name,
                    description: function.description,
                    parameters: function.parameters,
                },
                strict: function.strict == Some(true),
            }),
            Declared::Native(_) => Err(refusals::native_tool(offered.at, wire.name())),
        };
        self.tools.iter().map(declare).collect()
    }
}
