//! JSON as bytes: strings written straight into a buffer, and top-level fields found or replaced in
//! a raw body, so that everything else in it stays byte for byte what it was.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Writes `text` as a JSON string, quotes included.
///
/// Line and paragraph separators and NEL are escaped as well: some SSE readers take them for line
/// ends.
pub fn put_str(buf: &mut BytesMut, text: &str) {
    buf.reserve(text.len() + 2);
    buf.put_u8(b'"');
    put_escaped(buf, text);
    buf.put_u8(b'"');
}

/// Writes `text` as the inside of a JSON string.
#[expect(
    clippy::indexing_slicing,
    reason = "`at` and `plain` never pass `bytes.len()`"
)]
pub fn put_escaped(buf: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    let mut at = 0;
    while at < bytes.len() {
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
/// The escape that must stand for what begins at `at`, and how many bytes it stands for.
fn escape_at(bytes: &[u8], at: usize) -> Option<(Escape, usize)> {
    match bytes[at] {
        b'"' => Some((Escape::Short(b'"'), 1)),
        b'\\' => Some((Escape::Short(b'\\'), 1)),
        b'\n' => Some((Escape::Short(b'n'), 1)),
        b'\r' => Some((Escape::Short(b'r'), 1)),
        b'\t' => Some((Escape::Short(b't'), 1)),
        control @ 0..=0x1f => Some((Escape::Unicode(u16::from(control)), 1)),
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

/// Writes a number.
pub fn put_u64(buf: &mut BytesMut, number: u64) {
    buf.put_slice(itoa::Buffer::new().format(number).as_bytes());
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

/// Writes a provider's JSON value in one line. Line breaks stand only between its tokens; what some
/// readers of SSE take for line breaks stands only in its strings, where an escape means the same.
/// Of no value it makes `null`.
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

/// The top-level fields of a JSON object, in order, their values as they stand.
#[derive(Debug)]
pub struct Fields<'a> {
    /// The body they are fields of.
    body: &'a [u8],
    /// Names (escapes resolved) and values.
    pub list: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// The fields of `body`.
    ///
    /// # Errors
    /// When it is no JSON, or no object: where and what, as serde_json says it.
    pub fn of(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let list = json.deserialize_map(ListVisitor)?;
        json.end()?;
        Ok(Self { body, list })
    }

    /// The value of a field; of the last one where it comes twice.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.list
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| *value)
    }

    /// The first of `names` that comes more than once.
    #[must_use]
    pub fn doubled<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names
            .iter()
            .find(|name| self.list.iter().filter(|(key, _)| key == *name).count() > 1)
            .copied()
    }

    /// The body with these fields set to these JSON texts, everything else as it was. Fields that
    /// are missing are added at the end.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "values are slices of the body, in order, and the last brace is behind them"
    )]
    pub fn with(&self, changes: &[(&str, &str)]) -> Bytes {
        let extra: usize = changes
            .iter()
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

    /// The body without that field, everything else as it was.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "values are slices of the body, in order, behind its first brace"
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
                // What comes first has no comma before it.
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

    /// Where a value stands in the body: values are slices of it.
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

/// A field name, borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// False for JSON that says nothing: `null`, `false`, and what is empty.
#[must_use]
pub fn says_something(value: &RawValue) -> bool {
    !matches!(value.get(), "null" | "false" | "\"\"" | "[]" | "{}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_json_and_for_line_readers() {
        let text = "a\"b\\c\n\r\t\u{1}\u{85}\u{2028}\u{2029}é😀\u{e9}";
        let mut buf = BytesMut::new();
        put_str(&mut buf, text);
        let spelled = std::str::from_utf8(&buf).unwrap();
        assert!(!spelled.contains(['\n', '\u{85}', '\u{2028}', '\u{2029}']));
        assert_eq!(serde_json::from_str::<String>(spelled).unwrap(), text);
    }

    #[test]
    fn a_field_is_replaced_and_nothing_else() {
        let body = br#" { "a" : 1.50, "mo\u0064el":"x" ,"b":[1, 2] } "#;
        let fields = Fields::of(body).unwrap();
        let out = fields.with(&[("model", r#""y""#), ("stream", "true")]);
        assert_eq!(
            &out[..],
            br#" { "a" : 1.50, "mo\u0064el":"y" ,"b":[1, 2] ,"stream":true} "#
        );
        assert_eq!(
            &Fields::of(b"{}").unwrap().with(&[("a", "1"), ("b", "2")])[..],
            br#"{"a":1,"b":2}"#
        );
    }

    #[test]
    fn a_field_is_left_out_and_nothing_else() {
        for (body, left) in [
            (r#"{ "x" : {"x":1} }"#, "{ }"),
            (r#"{"x":1,"a":2, "b":[1, 2] }"#, r#"{"a":2, "b":[1, 2] }"#),
            (r#"{"a":2 , "x":1 ,"b":3}"#, r#"{"a":2 ,"b":3}"#),
            (r#" {"a":2, "b,":3 , "\u0078":1 }"#, r#" {"a":2, "b,":3 }"#),
            (r#"{"x":1,"x":2,"a,":3}"#, r#"{"a,":3}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("{}", "{}"),
        ] {
            let out = Fields::of(body.as_bytes()).unwrap().without("x");
            assert_eq!(std::str::from_utf8(&out).unwrap(), left, "{body}");
            Fields::of(&out).unwrap();
        }
    }

    #[test]
    fn doubled_fields_are_found_in_any_spelling() {
        let fields = Fields::of(br#"{"model":"a","\u006dodel":"b","x":1,"x":2}"#).unwrap();
        assert_eq!(fields.doubled(&["stream", "model"]), Some("model"));
        assert_eq!(fields.doubled(&["stream"]), None);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in [&b"[1]"[..], b"", b"{\"a\":1", b"{} x", b"{\"a\":01}"] {
            assert!(Fields::of(body).is_err());
        }
    }
}
