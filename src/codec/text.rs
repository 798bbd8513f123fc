//! Text from upstreams: bytes that should be UTF-8.

use bytes::Bytes;
use bytestring::ByteString;

/// Converts bytes to text, without a copy if they are UTF-8. Invalid bytes become U+FFFD.
#[must_use]
pub fn from_bytes(bytes: &Bytes) -> ByteString {
    ByteString::try_from(bytes.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_utf8_is_replaced_and_valid_bytes_are_shared() {
        let bytes = Bytes::from_static("é".as_bytes());
        assert_eq!(from_bytes(&bytes).as_bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(from_bytes(&Bytes::from_static(b"a\xffb")), "a\u{fffd}b");
    }
}
