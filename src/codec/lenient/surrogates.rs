//! Repairs JSON that contains half of a UTF-16 surrogate pair. No Rust string can hold one, and a
//! parser rejects the whole payload for it, although only one character is broken: the sender cut
//! its text inside a pair and escaped each half alone.

use bytestring::ByteString;

/// Returns the JSON with every lone surrogate escape replaced by U+FFFD; `None` if it contains
/// none.
#[must_use]
pub fn replace_lone_surrogates(json: &str) -> Option<ByteString> {
    // Copied at the first lone surrogate only.
    let mut fixed: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', json.as_bytes().get(at..).unwrap_or_default()) {
        at += found;
        let Some(code) = escape_at(json, at) else {
            // Skips the escaped byte: the second backslash of `\\u` starts no escape.
            at += 2;
            continue;
        };
        if is_high(code) && escape_at(json, at + 6).is_some_and(is_low) {
            at += 12;
            continue;
        }
        if is_high(code) || is_low(code) {
            let fixed = fixed.get_or_insert_with(|| json.as_bytes().to_vec());
            // All escapes have the same length, so that no text has to be moved.
            fixed.get_mut(at..at + 6)?.copy_from_slice(b"\\ufffd");
        }
        at += 6;
    }
    String::from_utf8(fixed?).ok().map(Into::into)
}

/// Returns the code of the escape `\uXXXX` at byte offset `at`.
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
    fn only_lone_surrogates_are_replaced() {
        let json = r#""a\ud83d\ude00 \ud83d \udc00 \\ud83d \u00e9 \ud83d\u0041 \ude00\ud83d""#;
        let fixed = replace_lone_surrogates(json).unwrap();
        assert_eq!(
            serde_json::from_str::<String>(&fixed).unwrap(),
            "a😀 \u{fffd} \u{fffd} \\ud83d é \u{fffd}A \u{fffd}\u{fffd}"
        );
        assert_eq!(replace_lone_surrogates(r#""a\ud83d\ude00\n""#), None);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_changes_length(text in r#"(\\|u|d8|3d|dc00|"|é|\\ud83d|[a-z0-9]){0,40}"#) {
            let fixed = replace_lone_surrogates(&text);
            prop_assert!(fixed.is_none_or(|fixed| fixed.len() == text.len()));
        }
    }
}
