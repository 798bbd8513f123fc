//! The source of images and files: a link, or a data URI.

use super::object::Object;
use crate::model::chat::Source;
use crate::model::fault::Fault;

/// Parses a field as a link or as a data URI.
///
/// # Errors
/// A 400 when the field is missing or empty, or is a data URI that is not base64.
pub(super) fn source(object: &Object<'_>, name: &str) -> Result<Source, Fault> {
    let url = object.non_empty(name)?;
    if !is_data_uri(&url) {
        return Ok(Source::Url(url));
    }
    data_uri(&url).ok_or_else(|| {
        object.invalid(
            name,
            "a URL or a data URI of the form `data:<media type>;base64,<data>`",
        )
    })
}

/// Returns true for a data URI. The scheme is compared without case.
pub(super) fn is_data_uri(url: &str) -> bool {
    url.get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

fn data_uri(url: &str) -> Option<Source> {
    let (head, base64) = url.get(5..)?.split_once(',')?;
    // Parameters such as `charset=…` may stand between the media type and `base64`.
    let mut pieces = head.split(';');
    let media_type = pieces
        .next()
        .filter(|kind| kind.contains('/'))?
        .to_ascii_lowercase();
    // RFC 2397: `base64` is the last item before the comma.
    let encoded = pieces
        .next_back()
        .is_some_and(|last| last.eq_ignore_ascii_case("base64"));
    encoded.then(|| Source::Data {
        media_type,
        base64: base64.to_owned(),
    })
}
