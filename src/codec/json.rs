//! JSON as bytes: writes strings directly into a buffer, and finds or replaces top-level fields in
//! a raw body while everything else in it stays unchanged, byte for byte.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lenient::Key;

/// Writes `text` as a JSON string, quotes included.
///
/// Line and paragraph separators and NEL are escaped as well: some SSE readers treat them as line
/// ends.
pub fn put_str(buf: &mut BytesMut, text: &str) {
    buf.reserve(text.len() + 2);
    buf.put_u8(b'"');
    put_escaped(buf, text);
    buf.put_u8(b'"');
}

/// Writes `text` as the content of a JSON string, without quotes.
#[expect(
    clippy::indexing_slicing,
    reason = "`at` and `plain` never pass `bytes.len()`"
)]
pub fn put_escaped(buf: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    let mut at = 0;
    while at < bytes.len() {
        // Bytes without escapes are collected and copied as one slice.
        let Some((escape, len)) = escape_at(bytes, at) else {
            at += 1;
            continue;
        };
        buf.put_slice(&bytes[plain..at]);
        match escape {
            Escape::Short(c) => buf.put_slice(&[b'\\', c]),
            Escape::Unicode(code) => put_unicode(buf, code),
        }
        at += len;
        plain = at;
    }
    buf.put_slice(&bytes[plain..]);
}

enum Escape {
    Short(u8),
    Unicode(u16),
}

#[expect(
    clippy::indexing_slicing,
    reason = "the caller's `at` is inside `bytes`"
)]
/// Returns the escape for the character at byte offset `at`, if it needs one, and the number of
/// bytes that the escape replaces.
fn escape_at(bytes: &[u8], at: usize) -> Option<(Escape, usize)> {
    match bytes[at] {
        b'"' => Some((Escape::Short(b'"'), 1)),
        b'\\' => Some((Escape::Short(b'\\'), 1)),
        b'\n' => Some((Escape::Short(b'n'), 1)),
        b'\r' => Some((Escape::Short(b'r'), 1)),
        b'\t' => Some((Escape::Short(b't'), 1)),
        control @ 0..=0x1f => Some((Escape::Unicode(u16::from(control)), 1)),
        // NEL (U+0085) and the separators U+2028 and U+2029, in UTF-8.
        0xc2 if bytes.get(at + 1) == Some(&0x85) => Some((Escape::Unicode(0x85), 2)),
        0xe2 if bytes.get(at + 1) == Some(&0x80) => match bytes.get(at + 2) {
            Some(0xa8) => Some((Escape::Unicode(0x2028), 3)),
            Some(0xa9) => Some((Escape::Unicode(0x2029), 3)),
            _ => None,
        },
        _ => None,
    }
}

#[expect(clippy::indexing_slicing, reason = "four bits index sixteen digits")]
fn put_unicode(buf: &mut BytesMut, code: u16) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    buf.put_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        buf.put_u8(HEX[usize::from(code >> shift & 15)]);
    }
}

/// Writes a number in decimal.
pub fn put_u64(buf: &mut BytesMut, number: u64) {
    // Numbers of choices and items are nearly always one digit.
    if let digit @ 0..=9 = number {
        buf.put_u8(b'0' + digit as u8);
        return;
    }
    buf.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Returns the JSON that `write` writes, as text.
pub fn json_text(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut buf = BytesMut::new();
    write(&mut buf);
    // Everything that is written here comes from strings, so nothing is replaced.
    String::from_utf8_lossy(&buf).into_owned()
}

/// Writes `null` or a number.
pub fn put_opt_u64(buf: &mut BytesMut, number: Option<u64>) {
    match number {
        Some(number) => put_u64(buf, number),
        None => buf.put_slice(b"null"),
    }
}

/// Writes `null` or a string.
pub fn put_opt_str(buf: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_str(buf, text),
        None => buf.put_slice(b"null"),
    }
}

/// Writes a provider's JSON value on one line, or `null` for an empty text. Valid JSON contains
/// line breaks only between tokens, where they can be left out. Other characters that some SSE
/// readers treat as line breaks occur only in strings, where they are escaped.
pub fn put_json(buf: &mut BytesMut, json: &str) {
    if json.is_empty() {
        buf.put_slice(b"null");
        return;
    }
    for piece in json.split_inclusive(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        let mut chars = piece.chars();
        let (plain, escape) = match chars.next_back() {
            Some('\n' | '\r') => (chars.as_str(), ""),
            Some('\u{85}') => (chars.as_str(), "\\u0085"),
            Some('\u{2028}') => (chars.as_str(), "\\u2028"),
            Some('\u{2029}') => (chars.as_str(), "\\u2029"),
            _ => (piece, ""),
        };
        buf.put_slice(plain.as_bytes());
        buf.put_slice(escape.as_bytes());
    }
}

/// The top-level fields of a JSON object, in order, with their raw values.
#[derive(Debug)]
pub struct Fields<'a> {
    /// The body that contains the fields.
    body: &'a [u8],
    /// Names (escapes resolved) and values.
    pub list: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Parses `body`.
    ///
    /// # Errors
    /// When the body is not JSON or not an object. The error has the position and the reason.
    pub fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let list = json.deserialize_map(ListVisitor)?;
        json.end()?;
        Ok(Self { body, list })
    }

    /// Returns the value of a field; if the field occurs several times, that of the last one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.list
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| *value)
    }

    /// Returns the first of `names` that occurs more than once.
    #[must_use]
    pub fn first_duplicate<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names
            .iter()
            .find(|name| self.list.iter().filter(|(key, _)| key == *name).count() > 1)
            .copied()
    }

    /// Returns the body with the named fields set to JSON texts and everything else unchanged.
    /// Missing fields are added at the end.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "values are slices of the body, in order, and the last brace follows them"
    )]
    pub fn with(&self, changes: &[(&str, &str)]) -> Bytes {
        let extra: usize = changes
            .iter()
            // Two quotes, a colon and a comma for each added field.
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        let mut out = BytesMut::with_capacity(self.body.len() + extra);
        let mut copied = 0;
        for (key, value) in &self.list {
            if let Some((_, new)) = changes.iter().find(|(name, _)| key == name) {
                let start = self.offset_of(value);
                out.put_slice(&self.body[copied..start]);
                out.put_slice(new.as_bytes());
                copied = start + value.get().len();
            }
        }
        // The body was parsed, so that only white space follows its last brace.
        let close = memchr::memrchr(b'}', self.body).unwrap_or(self.body.len());
        out.put_slice(&self.body[copied..close]);
        let mut first = self.list.is_empty();
        for (name, value) in changes.iter().filter(|(name, _)| self.get(name).is_none()) {
            if !first {
                out.put_u8(b',');
            }
            first = false;
            put_str(&mut out, name);
            out.put_u8(b':');
            out.put_slice(value.as_bytes());
        }
        out.put_slice(&self.body[close..]);
        out.freeze()
    }

    /// Returns the body without a field and everything else unchanged.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "values are slices of the body, in order, after its first brace"
    )]
    pub fn without(&self, name: &str) -> Bytes {
        let open = memchr::memchr(b'{', self.body).map_or(0, |brace| brace + 1);
        let mut out = BytesMut::with_capacity(self.body.len());
        out.put_slice(&self.body[..open]);
        let mut from = open;
        let mut first = true;
        for (key, value) in &self.list {
            let end = self.offset_of(value) + value.get().len();
            if key != name {
                let member = &self.body[from..end];
                // The first remaining member must not begin with a comma.
                let comma = if first && from > open {
                    memchr::memchr(b',', member).map_or(0, |comma| comma + 1)
                } else {
                    0
                };
                out.put_slice(&member[comma..]);
                first = false;
            }
            from = end;
        }
        out.put_slice(&self.body[from..]);
        out.freeze()
    }

    /// Returns the offset of a value in the body, bytes. Values are slices of the body.
    fn offset_of(&self, value: &RawValue) -> usize {
        value.get().as_ptr().addr() - self.body.as_ptr().addr()
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            list.push((key, map.next_value()?));
        }
        Ok(list)
    }
}

/// Returns false for `null`, `false` and empty values.
#[must_use]
pub fn is_non_empty(value: &RawValue) -> bool {
    !matches!(value.get(), "null" | "false" | "\"\"" | "[]" | "{}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_for_json_and_sse_readers() {
        let text = "a\"b\\c\n\r\t\u{1}\u{85}\u{2028}\u{2029}é😀\u{e9}";
        let mut buf = BytesMut::new();
        put_str(&mut buf, text);
        let encoded = std::str::from_utf8(&buf).unwrap();
        assert!(!encoded.contains(['\n', '\u{85}', '\u{2028}', '\u{2029}']));
        assert_eq!(serde_json::from_str::<String>(encoded).unwrap(), text);
    }

    #[test]
    fn only_the_named_fields_are_replaced() {
        let body = br#" { "a" : 1.50, "mo\u0064el":"x" ,"b":[1, 2] } "#;
        let fields = Fields::parse(body).unwrap();
        let out = fields.with(&[("model", r#""y""#), ("stream", "true")]);
        assert_eq!(
            &out[..],
            br#" { "a" : 1.50, "mo\u0064el":"y" ,"b":[1, 2] ,"stream":true} "#
        );
        assert_eq!(
            &Fields::parse(b"{}")
                .unwrap()
                .with(&[("a", "1"), ("b", "2")])[..],
            br#"{"a":1,"b":2}"#
        );
    }

    #[test]
    fn only_the_named_field_is_removed() {
        for (body, left) in [
            (r#"{ "x" : {"x":1} }"#, "{ }"),
            (r#"{"x":1,"a":2, "b":[1, 2] }"#, r#"{"a":2, "b":[1, 2] }"#),
            (r#"{"a":2 , "x":1 ,"b":3}"#, r#"{"a":2 ,"b":3}"#),
            (r#" {"a":2, "b,":3 , "\u0078":1 }"#, r#" {"a":2, "b,":3 }"#),
            (r#"{"x":1,"x":2,"a,":3}"#, r#"{"a,":3}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("{}", "{}"),
        ] {
            let out = Fields::parse(body.as_bytes()).unwrap().without("x");
            assert_eq!(std::str::from_utf8(&out).unwrap(), left, "{body}");
            Fields::parse(&out).unwrap();
        }
    }

    #[test]
    fn duplicate_fields_are_found_despite_escapes() {
        let fields = Fields::parse(br#"{"model":"a","\u006dodel":"b","x":1,"x":2}"#).unwrap();
        assert_eq!(fields.first_duplicate(&["stream", "model"]), Some("model"));
        assert_eq!(fields.first_duplicate(&["stream"]), None);
    }

    #[test]
    fn bodies_that_are_no_object_are_rejected() {
        for body in [&b"[1]"[..], b"", b"{\"a\":1", b"{} x", b"{\"a\":01}"] {
            assert!(Fields::parse(body).is_err());
        }
    }
}
