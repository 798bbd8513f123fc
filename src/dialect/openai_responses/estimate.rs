//! Estimates the size of a prompt in one walk over the input and the tools, without translating it.
//! The walk also finds references to the provider's account, and signatures that we have wrapped.

use serde_json::value::RawValue;

use super::item_references;
use crate::codec::json::Fields;
use crate::dialect::estimate::{Estimate, elements, members};
use crate::dialect::object::{Object, must_be};
use crate::model::ask::Reference;
use crate::model::fault::Fault;
use crate::model::opaque_signature::is_opaque_signature;

/// Results of the walk.
pub(super) struct Found {
    /// Estimated number of input tokens.
    pub(super) tokens: u64,
    /// True if the input contains a wrapped signature, which only a translation unwraps.
    pub(super) has_wrapped: bool,
    /// References to items and files in the provider's account.
    pub(super) references: Vec<Reference>,
}

/// Walks over a request. The input may be empty if the request continues a previous response.
///
/// # Errors
/// A 400 if `input` is neither a string nor a non-empty array of objects.
pub(super) fn input(top: &Object<'_>, has_previous: bool) -> Result<Found, Fault> {
    const EXPECTED: &str = "a string or a non-empty array of items";
    let mut estimate = Estimate::default();
    let mut has_wrapped = false;
    match top.raw("input") {
        None if has_previous => {}
        Some(text) if text.get().starts_with('"') => estimate.add_text(text),
        Some(list) if list.get().starts_with('[') => {
            let items: Vec<&RawValue> = top.read("input", EXPECTED)?.unwrap_or_default();
            if items.is_empty() && !has_previous {
                return Err(top.invalid("input", EXPECTED));
            }
            for (i, item) in items.into_iter().enumerate() {
                has_wrapped |= estimate.item(i, item)?;
            }
        }
        _ => return Err(top.invalid("input", EXPECTED)),
    }
    if let Some(instructions) = top.raw("instructions") {
        estimate.add_text(instructions);
    }
    // Declarations reach the model as text, so their JSON counts.
    estimate.bytes += top.raw("tools").map_or(0, |json| json.get().len() as u64);
    Ok(Found {
        tokens: estimate.tokens(),
        has_wrapped,
        references: estimate.references,
    })
}

impl Estimate {
    /// Adds an item. Returns true if it contains a wrapped signature.
    fn item(&mut self, number: usize, item: &RawValue) -> Result<bool, Fault> {
        let path = format!("input[{number}]");
        let fields =
            Fields::parse(item.get().as_bytes()).map_err(|_| must_be(&path, "an object"))?;
        let mut has_wrapped = false;
        for (name, value) in &fields.list {
            match &**name {
                "file_id" => self.add_reference(format!("{path}.file_id"), value),
                "content" | "output" | "summary" => self.parts(&format!("{path}.{name}"), value),
                "arguments" | "input" | "name" => self.add_text(value),
                "encrypted_content" => {
                    has_wrapped |= value
                        .get()
                        .strip_prefix('"')
                        .is_some_and(is_opaque_signature);
                }
                _ => {}
            }
        }
        // References to items that are stored here are replaced by the items before this list is
        // checked.
        self.references
            .extend(item_references::referenced_id(&fields).map(|_| Reference { path, id: None }));
        Ok(has_wrapped)
    }

    fn parts(&mut self, path: &str, content: &RawValue) {
        self.add_text(content);
        for (i, part) in elements(content).into_iter().enumerate() {
            for (name, value) in members(part) {
                match &*name {
                    "text" | "refusal" => self.add_text(value),
                    "image_url" if value.get() != "null" => self.images += 1,
                    "file_id" => self.add_reference(format!("{path}[{i}].file_id"), value),
                    _ => {}
                }
            }
        }
    }
}
