//! The id by which a request is found again in logs.

use bytestring::ByteString;
use http::{HeaderMap, HeaderName};

use crate::model::ids::StreamId;

/// The header field.
pub(super) const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const LONGEST: usize = 128;

/// The client's own id where it is well-formed, else a new one.
pub(super) fn of(headers: &HeaderMap) -> ByteString {
    let mut given = headers.get_all(NAME).iter();
    match (
        given.next().and_then(|value| value.to_str().ok()),
        given.next(),
    ) {
        (Some(id), None) if is_well_formed(id) => id.into(),
        _ => new(),
    }
}

fn is_well_formed(id: &str) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// 130 random bits, in the letters of stream ids.
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
        of(&headers)
    }

    #[test]
    fn a_well_formed_id_is_kept() {
        let longest = [b'a'; LONGEST];
        for id in [b"a".as_slice(), b"Az09._-", &longest] {
            assert_eq!(given(&[id]).as_bytes(), id);
        }
    }

    #[test]
    fn anything_else_is_replaced() {
        let too_long = [b'a'; LONGEST + 1];
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
