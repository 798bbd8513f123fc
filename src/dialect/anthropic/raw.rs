//! Content of this API's own wire that has no normalized form: server tools and their results, and
//! content types that are newer than this code.

use std::borrow::Cow;

use serde::Deserialize;

use crate::model::event::Raw;
use crate::model::wire::WireId;

/// The kind of such content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole block.
    Block,
    /// A delta of the block before it.
    Delta,
    /// Content that this API has no place for.
    Foreign,
}

#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// Returns the kind of `raw`.
pub(super) fn kind(raw: &Raw) -> Kind {
    if raw.wire != WireId::Anthropic {
        return Kind::Foreign;
    }
    match serde_json::from_str::<Tagged<'_>>(&raw.data) {
        // The types of all deltas end that way, and those of blocks do not.
        Ok(tagged) if tagged.kind.ends_with("_delta") => Kind::Delta,
        Ok(tagged) if !tagged.kind.is_empty() => Kind::Block,
        _ => Kind::Foreign,
    }
}

/// Returns the part of a server tool's input that a delta holds; empty for any other delta.
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
