//! Payloads that JSON readers refuse although only one character is broken: halves of UTF-16 pairs,
//! which senders that cut text between them escape alone.

use bytestring::ByteString;

/// The payload with every lone surrogate escape made U+FFFD; none where it holds none.
pub(super) fn replaced(json: &str) -> Option<ByteString> {
    let mut fixed = json.as_bytes().to_vec();
    let mut broken = false;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', json.as_bytes().get(at..)?) {
        at += found;
        let Some(code) = escape_at(json, at) else {
            at += 2;
            continue;
        };
        let next = escape_at(json, at + 6);
        if is_high(code) && next.is_some_and(is_low) {
            at += 12;
            continue;
        }
        if is_high(code) || is_low(code) {
            fixed.get_mut(at..at + 6)?.copy_from_slice(b"\\ufffd");
            broken = true;
        }
        at += 6;
    }
    broken.then(|| String::from_utf8(fixed).ok().map(Into::into))?
}

/// The code of the `\uXXXX` at a place.
fn escape_at(json: &str, at: usize) -> Option<u32> {
    let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
    digits
        .bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())?
}

fn is_high(code: u32) -> bool {
    (0xd800..0xdc00).contains(&code)
}

fn is_low(code: u32) -> bool {
    (0xdc00..0xe000).contains(&code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_halves_are_replaced() {
        let json = r#""a\ud83d\ude00 \ud83d \udc00 \\ud83d \u00e9 \ud83d\u0041""#;
        let fixed = replaced(json).unwrap();
        assert_eq!(
            serde_json::from_str::<String>(&fixed).unwrap(),
            "a😀 \u{fffd} \u{fffd} \\ud83d é \u{fffd}A"
        );
        assert_eq!(replaced(r#""a\ud83d\ude00\n""#), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in r#"(\\|u|d8|3d|dc00|"|é|\\ud83d|[a-z0-9]){0,40}"#) {
            let fixed = replaced(&text);
            prop_assert!(fixed.is_none_or(|fixed| fixed.len() == text.len()));
        }
    }
}
