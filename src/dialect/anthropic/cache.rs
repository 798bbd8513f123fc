//! Marks up to which the prompt may be cached.

use crate::dialect::cache;
use crate::dialect::object::Object;
use crate::model::chat::CacheMark;
use crate::model::fault::Fault;

/// Reads the cache mark of an object: a block, a tool, or the body.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn mark(object: &Object<'_>) -> Result<Option<CacheMark>, Fault> {
    cache::mark(object, &["cache_control"])
}
