//! Reads the headers of a message. All are checked; only those that describe the message are kept.

use smallvec::SmallVec;

use crate::codec::FrameError;

/// Number of headers whose names are collected without an allocation. Messages rarely have more.
const USUAL: usize = 8;

/// The headers that describe a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Headers<'a> {
    /// `event`, `exception` or `error`.
    pub(super) message_type: Option<&'a str>,
    pub(super) event_type: Option<&'a str>,
    pub(super) exception_type: Option<&'a str>,
    pub(super) error_code: Option<&'a str>,
    pub(super) error_message: Option<&'a str>,
}

impl<'a> Headers<'a> {
    /// Reads the headers of a message from `bytes`, which contain nothing else.
    ///
    /// # Errors
    /// When a header is malformed or occurs twice.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (mut headers, mut cursor) = (Self::default(), Cursor(bytes));
        let mut names: SmallVec<[&str; USUAL]> = SmallVec::new();
        while !cursor.0.is_empty() {
            let length = cursor.number(1)?;
            let name = cursor.text(length)?;
            let value = cursor.value()?;
            names.push(name);
            headers.keep(name, value);
        }
        // The format forbids duplicate names; sorting finds them without a set.
        names.sort_unstable();
        let duplicate = names.windows(2).any(|pair| pair.first() == pair.last());
        if duplicate {
            Err(FrameError::Headers {
                what: "a name occurs twice",
            })
        } else {
            Ok(headers)
        }
    }

    /// Keeps the value of a header that describes the message.
    fn keep(&mut self, name: &str, value: Option<&'a str>) {
        match name {
            ":message-type" => self.message_type = value,
            ":event-type" => self.event_type = value,
            ":exception-type" => self.exception_type = value,
            ":error-code" => self.error_code = value,
            ":error-message" => self.error_message = value,
            _ => {}
        }
    }
}

/// The bytes that have not been read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(FrameError::Headers {
            what: "the last one is incomplete",
        })?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads a big-endian number of one or two bytes.
    fn number(&mut self, bytes: usize) -> Result<usize, FrameError> {
        Ok(self
            .take(bytes)?
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn text(&mut self, length: usize) -> Result<&'a str, FrameError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| FrameError::Headers {
            what: "a name or string is not UTF-8",
        })
    }

    /// Reads a value. Returns it if it is a string, and skips it otherwise.
    fn value(&mut self) -> Result<Option<&'a str>, FrameError> {
        let length = match self.number(1)? {
            // True and false have no bytes.
            0 | 1 => 0,
            // Integers of one, two, four and eight bytes.
            2 => 1,
            3 => 2,
            4 => 4,
            // A timestamp (8) is milliseconds as an integer.
            5 | 8 => 8,
            // Bytes.
            6 => self.number(2)?,
            7 => {
                let length = self.number(2)?;
                return self.text(length).map(Some);
            }
            // A UUID.
            9 => 16,
            _ => {
                return Err(FrameError::Headers {
                    what: "a value has an unknown type",
                });
            }
        };
        self.take(length).map(|_| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, value: &str) -> Vec<u8> {
        let mut header = named(name, 7);
        header.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        header.extend(value.as_bytes());
        header
    }

    fn named(name: &str, kind: u8) -> Vec<u8> {
        let mut header = vec![u8::try_from(name.len()).unwrap()];
        header.extend(name.as_bytes());
        header.push(kind);
        header
    }

    fn error(bytes: &[u8]) -> &'static str {
        match Headers::read(bytes) {
            Err(FrameError::Headers { what }) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_of_every_type_are_skipped() {
        let mut bytes = Vec::new();
        for (kind, length) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 4),
            (5, 8),
            (8, 8),
            (9, 16),
        ] {
            bytes.extend(named(&format!("n{kind}"), kind));
            bytes.extend(vec![0xff; length]);
        }
        bytes.extend(named("bytes", 6));
        bytes.extend([0, 2, 0xff, 0xfe]);
        bytes.extend(text("text", "é"));
        bytes.extend(text(":event-type", ""));
        bytes.extend(text(":message-type", "event"));
        let expected = Headers {
            message_type: Some("event"),
            event_type: Some(""),
            ..Headers::default()
        };
        assert_eq!(Headers::read(&bytes), Ok(expected));
        assert_eq!(Headers::read(b""), Ok(Headers::default()));
    }

    #[test]
    fn known_names_with_values_of_another_type_are_ignored() {
        assert_eq!(
            Headers::read(&named(":event-type", 0)),
            Ok(Headers::default())
        );
    }

    #[test]
    fn malformed_headers_are_rejected() {
        let whole = [text("a", "b"), named("c", 5), vec![0; 8]].concat();
        for end in 1..whole.len() {
            if end != text("a", "b").len() {
                assert_eq!(error(&whole[..end]), "the last one is incomplete", "{end}");
            }
        }
        assert_eq!(
            error(&[text("a", "b"), named("c", 0), text("a", "d")].concat()),
            "a name occurs twice"
        );
        assert_eq!(error(&named("a", 10)), "a value has an unknown type");
        assert_eq!(error(&[1, 0xff, 0]), "a name or string is not UTF-8");
        assert_eq!(
            error(&[1, b'a', 7, 0, 1, 0xff]),
            "a name or string is not UTF-8"
        );
    }
}
