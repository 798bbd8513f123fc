//! Writes the members of a JSON object into a buffer, one after another.

use bytes::{BufMut as _, BytesMut};

use super::json::{put_str, put_u64};

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

    /// Starts a member and returns the buffer for its value. The name must not need escapes.
    pub fn value(&mut self, name: &str) -> &mut BytesMut {
        self.buf.put_u8(std::mem::replace(&mut self.next, b','));
        self.buf.put_u8(b'"');
        self.buf.put_slice(name.as_bytes());
        self.buf.put_slice(b"\":");
        self.buf
    }

    /// Writes a member whose value is a string.
    pub fn text(&mut self, name: &str, value: &str) {
        put_str(self.value(name), value);
    }

    /// Writes a member whose value is a number.
    pub fn number(&mut self, name: &str, value: u64) {
        put_u64(self.value(name), value);
    }

    /// Ends the object.
    pub fn end(self) {
        self.buf
            .put_slice(if self.next == b'{' { b"{}" } else { b"}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::json::put_json;

    #[test]
    fn members_are_separated_by_commas() {
        let mut buf = BytesMut::new();
        let mut object = Members::new(&mut buf);
        object.text("a", "\"");
        object.number("b", 7);
        put_json(object.value("c"), "{\n\"d\":\"\u{2028}\"}");
        object.end();
        assert_eq!(&buf[..], br#"{"a":"\"","b":7,"c":{"d":"\u2028"}}"#);
        let mut empty = BytesMut::new();
        Members::new(&mut empty).end();
        put_json(&mut empty, "");
        assert_eq!(&empty[..], b"{}null");
    }
}
