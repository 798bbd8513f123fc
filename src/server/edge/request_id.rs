//! The request id, which identifies a request in logs.

use bytestring::ByteString;
use http::{HeaderMap, HeaderName};

use crate::model::ids::StreamId;

/// Name of the header field.
pub(super) const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of an id accepted from a client, bytes.
const MAX_LENGTH: usize = 128;

/// Returns the id of the client if it is well-formed, otherwise a new one.
pub(super) fn from_headers(headers: &HeaderMap) -> ByteString {
    let mut given = headers.get_all(NAME).iter();
    match (
        given.next().and_then(|value| value.to_str().ok()),
        given.next(),
    ) {
        // Several fields are ambiguous: a proxy may have read another one.
        (Some(id), None) if is_well_formed(id) => id.into(),
        _ => new(),
    }
}

fn is_well_formed(id: &str) -> bool {
    (1..=MAX_LENGTH).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Returns a new id: 130 random bits, encoded like stream ids.
fn new() -> ByteString {
    format!("req_{}", StreamId::random()).into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn given(ids: &[&[u8]]) -> ByteString {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(NAME, HeaderValue::from_bytes(id).unwrap());
        }
        from_headers(&headers)
    }

    #[test]
    fn a_well_formed_id_is_kept() {
        let longest = [b'a'; MAX_LENGTH];
        for id in [b"a".as_slice(), b"Az09._-", &longest] {
            assert_eq!(given(&[id]).as_bytes(), id);
        }
    }

    #[test]
    fn anything_else_is_replaced() {
        let too_long = [b'a'; MAX_LENGTH + 1];
        for ids in [
            &[b"".as_slice()][..],
            &[b"a b"],
            &[b"a/b"],
            &[b"\xff"],
            &[&too_long],
            &[b"a", b"b"],
            &[],
        ] {
            let id = given(ids);
            assert!(is_well_formed(&id) && id.starts_with("req_"), "{id}");
            assert_ne!(id, given(ids));
        }
    }
}
