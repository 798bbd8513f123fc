//! Marks up to which the prompt may be cached.

use super::object::Object;
use crate::model::chat::CacheMark;
use crate::model::fault::Fault;

/// Reads the first of these fields as the cache mark of an object.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn mark(object: &Object<'_>, names: &[&str]) -> Result<Option<CacheMark>, Fault> {
    for name in names {
        if let Some(control) = object.object(name)? {
            let ttl = control.string("ttl")?;
            return Ok(Some(CacheMark { ttl }));
        }
    }
    Ok(None)
}
