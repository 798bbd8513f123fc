//! How large a prompt is, about, without reading it: one light walk over the input and the tools.
//! On its way it finds what refers to the provider's account, and what another wire has made.

use serde_json::value::RawValue;

use super::named;
use crate::codec::json::Fields;
use crate::dialect::estimate::{Estimate, elements, members};
use crate::dialect::object::{Object, must_be};
use crate::model::ask::Reference;
use crate::model::fault::Fault;
use crate::model::opaque_signature::is_ours;

/// What the walk found.
pub(super) struct Found {
    /// The estimate of the input tokens.
    pub(super) tokens: u64,
    /// There is reasoning of another wire in it.
    pub(super) foreign: bool,
    /// The items and files in the provider's account that it names.
    pub(super) references: Vec<Reference>,
}

/// Walks over a request. One that goes on from another response needs no input of its own.
///
/// # Errors
/// A 400 when `input` is neither a string nor a non-empty array of objects.
pub(super) fn input(top: &Object<'_>, goes_on: bool) -> Result<Found, Fault> {
    const EXPECTED: &str = "a string or a non-empty array of items";
    let mut estimate = Estimate::default();
    let mut foreign = false;
    match top.raw("input") {
        None if goes_on => {}
        Some(text) if text.get().starts_with('"') => estimate.text(text),
        Some(list) if list.get().starts_with('[') => {
            let items: Vec<&RawValue> = top.read("input", EXPECTED)?.unwrap_or_default();
            if items.is_empty() && !goes_on {
                return Err(top.refuse("input", EXPECTED));
            }
            for (i, item) in items.into_iter().enumerate() {
                foreign |= estimate.item(i, item)?;
            }
        }
        _ => return Err(top.refuse("input", EXPECTED)),
    }
    if let Some(instructions) = top.raw("instructions") {
        estimate.text(instructions);
    }
    estimate.bytes += top.raw("tools").map_or(0, |json| json.get().len() as u64);
    Ok(Found {
        tokens: estimate.tokens(),
        foreign,
        references: estimate.references,
    })
}

impl Estimate {
    /// True where another wire has made the item.
    fn item(&mut self, number: usize, item: &RawValue) -> Result<bool, Fault> {
        let path = format!("input[{number}]");
        let fields = Fields::of(item.get().as_bytes()).map_err(|_| must_be(&path, "an object"))?;
        let mut foreign = false;
        for (name, value) in &fields.list {
            match &**name {
                "file_id" => self.refer(format!("{path}.file_id"), value),
                "content" | "output" | "summary" => self.parts(&format!("{path}.{name}"), value),
                "arguments" | "input" | "name" => self.text(value),
                "encrypted_content" => {
                    foreign |= value.get().strip_prefix('"').is_some_and(is_ours);
                }
                _ => {}
            }
        }
        // One that is known here is put in its place; this is about the others.
        self.references
            .extend(named::id_of(&fields).map(|_| Reference { path, id: None }));
        Ok(foreign)
    }

    fn parts(&mut self, path: &str, content: &RawValue) {
        self.text(content);
        for (i, part) in elements(content).into_iter().enumerate() {
            for (name, value) in members(part) {
                match &*name {
                    "text" | "refusal" => self.text(value),
                    "image_url" if value.get() != "null" => self.images += 1,
                    "file_id" => self.refer(format!("{path}[{i}].file_id"), value),
                    _ => {}
                }
            }
        }
    }
}
