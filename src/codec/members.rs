//! Writes JSON into a buffer: objects member by member, and arrays element by element.

use bytes::{BufMut as _, BytesMut};

use super::json::{put_json, put_opt_str, put_opt_u64, put_str, put_u64};

/// Maximum size of slices that are copied together, bytes: a name and a word. Longer ones are rare.
const PIECE: usize = 64;

/// An object that is being written.
#[derive(Debug)]
pub struct Members<'a> {
    buf: &'a mut BytesMut,
    /// The byte before the next member: `{` for the first one, then `,`.
    next: u8,
}

impl<'a> Members<'a> {
    /// Starts an object at the end of `buf`.
    #[must_use]
    pub fn new(buf: &'a mut BytesMut) -> Self {
        Self { buf, next: b'{' }
    }

    /// Continues an object whose first members `buf` ends with.
    #[must_use]
    pub fn resume(buf: &'a mut BytesMut) -> Self {
        Self { buf, next: b',' }
    }

    /// Starts a member and returns the buffer for its value. The name must not need escapes.
    #[inline]
    pub fn value(&mut self, name: &str) -> &mut BytesMut {
        let before = std::mem::replace(&mut self.next, b',');
        put_together(self.buf, &[&[before, b'"'], name.as_bytes(), b"\":"]);
        self.buf
    }

    /// Writes a member whose value is a string that needs no escapes.
    #[inline]
    pub fn word(&mut self, name: &str, word: &str) {
        let before = std::mem::replace(&mut self.next, b',');
        let (name, word) = (name.as_bytes(), word.as_bytes());
        put_together(self.buf, &[&[before, b'"'], name, b"\":\"", word, b"\""]);
    }

    /// Writes a member whose value is a string.
    pub fn text(&mut self, name: &str, value: &str) {
        put_str(self.value(name), value);
    }

    /// Writes a member whose value is a string or null.
    pub fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        put_opt_str(self.value(name), value);
    }

    /// Writes a member whose value is a string, if there is one.
    pub fn text_if_some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Writes a member whose value is a number.
    pub fn number(&mut self, name: &str, value: u64) {
        put_u64(self.value(name), value);
    }

    /// Writes a member whose value is a number or null.
    pub fn number_or_null(&mut self, name: &str, value: Option<u64>) {
        put_opt_u64(self.value(name), value);
    }

    /// Writes a member whose value is a number, if there is one.
    pub fn number_if_some(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// Writes a member whose value is true or false.
    pub fn flag(&mut self, name: &str, value: bool) {
        let value: &[u8] = if value { b"true" } else { b"false" };
        self.value(name).put_slice(value);
    }

    /// Writes a member whose value is null.
    pub fn null(&mut self, name: &str) {
        self.value(name).put_slice(b"null");
    }

    /// Writes a member whose value is a provider's JSON.
    pub fn json(&mut self, name: &str, value: &str) {
        put_json(self.value(name), value);
    }

    /// Writes a member whose value is JSON that was written here, on one line.
    pub fn written(&mut self, name: &str, value: &[u8]) {
        self.value(name).put_slice(value);
    }

    /// Writes members that were written before, each with a comma before it. They cannot be the
    /// first ones.
    pub fn more(&mut self, members: &str) {
        self.buf.put_slice(members.as_bytes());
    }

    /// Starts a member whose value is an object.
    pub fn object(&mut self, name: &str) -> Members<'_> {
        Members::new(self.value(name))
    }

    /// Starts a member whose value is an array.
    pub fn array(&mut self, name: &str) -> Elements<'_> {
        Elements::new(self.value(name))
    }

    /// Ends the object.
    pub fn end(self) {
        self.buf
            .put_slice(if self.next == b'{' { b"{}" } else { b"}" });
    }
}

/// An array that is being written.
#[derive(Debug)]
pub struct Elements<'a> {
    buf: &'a mut BytesMut,
    /// The byte before the next element: `[` for the first one, then `,`.
    next: u8,
}

impl<'a> Elements<'a> {
    /// Starts an array at the end of `buf`.
    #[must_use]
    pub fn new(buf: &'a mut BytesMut) -> Self {
        Self { buf, next: b'[' }
    }

    /// Starts an element and returns the buffer for it.
    pub fn element(&mut self) -> &mut BytesMut {
        self.buf.put_u8(std::mem::replace(&mut self.next, b','));
        self.buf
    }

    /// Writes an element that is JSON written here, on one line.
    pub fn written(&mut self, value: &[u8]) {
        self.element().put_slice(value);
    }

    /// Starts an element that is an object.
    pub fn object(&mut self) -> Members<'_> {
        Members::new(self.element())
    }

    /// Ends the array.
    pub fn end(self) {
        self.buf
            .put_slice(if self.next == b'[' { b"[]" } else { b"]" });
    }
}

/// Writes these slices. Short ones are copied into the buffer at once: that costs less than a check
/// of its capacity for each, and it runs several times for every token.
#[inline]
fn put_together(buf: &mut BytesMut, slices: &[&[u8]]) {
    let size: usize = slices.iter().map(|it| it.len()).sum();
    if size > PIECE {
        slices.iter().for_each(|it| buf.put_slice(it));
        return;
    }
    let mut piece = [0; PIECE];
    let mut free = &mut piece[..];
    slices.iter().for_each(|it| free.put_slice(it));
    buf.put_slice(piece.get(..size).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_separated_by_commas() {
        let mut buf = BytesMut::new();
        let mut object = Members::new(&mut buf);
        object.text("a", "\"");
        object.number("b", 7);
        object.json("c", "{\n\"d\":\"\u{2028}\"}");
        object.word("e", "f");
        let long = "n".repeat(PIECE);
        object.flag(&long, true);
        object.word("f", &long);
        object.text_if_some("g", None);
        object.null("h");
        object.end();
        let expected = format!(
            r#"{{"a":"\"","b":7,"c":{{"d":"\u2028"}},"e":"f","{long}":true,"f":"{long}","h":null}}"#
        );
        assert_eq!(&buf[..], expected.as_bytes());
        let mut empty = BytesMut::new();
        Members::new(&mut empty).end();
        Elements::new(&mut empty).end();
        put_json(&mut empty, "");
        assert_eq!(&empty[..], b"{}[]null");
    }

    #[test]
    fn values_nest() {
        let mut buf = BytesMut::from(r#"{"a":1"#);
        let mut object = Members::resume(&mut buf);
        let mut list = object.array("list");
        list.object().end();
        let mut element = list.object();
        element.number_or_null("b", Some(10));
        element.text_or_null("c", None);
        element.end();
        put_u64(list.element(), 9);
        list.end();
        object.end();
        assert_eq!(&buf[..], br#"{"a":1,"list":[{},{"b":10,"c":null},9]}"#);
    }
}
