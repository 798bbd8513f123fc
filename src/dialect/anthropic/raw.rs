//! Content of this API's wire that has no normalized form: server tools and their results, and
//! whatever is newer.

use std::borrow::Cow;

use serde::Deserialize;

use crate::model::event::Raw;
use crate::model::wire::WireId;

/// What such content is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole block.
    Block,
    /// A piece of the block before it.
    Delta,
    /// Nothing that this API has a place for.
    Foreign,
}

#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// What it is.
pub(super) fn kind(raw: &Raw) -> Kind {
    if raw.wire != WireId::Anthropic {
        return Kind::Foreign;
    }
    match serde_json::from_str::<Tagged<'_>>(&raw.data) {
        Ok(it) if it.kind.ends_with("_delta") => Kind::Delta,
        Ok(it) if !it.kind.is_empty() => Kind::Block,
        _ => Kind::Foreign,
    }
}

/// The piece of a server tool's input that it holds; nothing where it is something else.
pub(super) fn input(raw: &Raw) -> String {
    #[derive(Deserialize)]
    struct Delta {
        #[serde(default)]
        partial_json: String,
    }
    serde_json::from_str::<Delta>(&raw.data)
        .map(|delta| delta.partial_json)
        .unwrap_or_default()
}
