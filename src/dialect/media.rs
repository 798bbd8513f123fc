//! Where the bytes of media are: a link, or a data URI.

use super::object::Object;
use crate::model::chat::Source;
use crate::model::fault::Fault;

/// A link, or the bytes that a data URI holds.
///
/// # Errors
/// A 400 when the field is no such string.
pub(super) fn source(object: &Object<'_>, name: &str) -> Result<Source, Fault> {
    let url = object.filled(name)?;
    if !is_data_uri(&url) {
        return Ok(Source::Url(url));
    }
    data_uri(&url).ok_or_else(|| {
        object.refuse(
            name,
            "a URL or a data URI of the form `data:<media type>;base64,<data>`",
        )
    })
}

/// True for what names a data URI.
pub(super) fn is_data_uri(url: &str) -> bool {
    url.get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

fn data_uri(url: &str) -> Option<Source> {
    let (head, base64) = url.get(5..)?.split_once(',')?;
    let mut pieces = head.split(';');
    let media_type = pieces
        .next()
        .filter(|kind| kind.contains('/'))?
        .to_ascii_lowercase();
    let encoded = pieces
        .next_back()
        .is_some_and(|last| last.eq_ignore_ascii_case("base64"));
    encoded.then(|| Source::Data {
        media_type,
        base64: base64.to_owned(),
    })
}
