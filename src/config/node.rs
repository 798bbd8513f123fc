//! A value of the file with its key and place, and the readers of plain values.
//!
//! Invariants: a reader returns `None` only after it has reported a problem, or if the text itself
//! is not TOML (already reported). A reader publishes every value it reads, except secrets; a value
//! of the wrong type that no reader accepted stays masked.

use std::num::IntErrorKind;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::doc::Doc;
use super::interpolate;
use super::mask::has_credentials;
use super::nearest::nearest;
use super::schema::Word;

/// A value, its key and its place.
#[derive(Clone, Copy)]
pub(super) struct Node<'n, 'a> {
    pub(super) doc: &'n Doc<'a>,
    pub(super) key: &'n str,
    pub(super) value: &'n Spanned<DeValue<'a>>,
}

/// A string of the file, with its references replaced.
#[derive(Clone)]
pub(super) struct Text {
    /// The string's content.
    pub(super) value: String,
    /// True if the file contains this exact string, so that a message may quote it. A value from a
    /// reference may be a secret.
    literal: bool,
}

impl Text {
    /// Returns the text for a message: quoted if the file contains it, described if it comes from a
    /// reference.
    pub(super) fn quoted(&self) -> String {
        const LONGEST: usize = 60;
        // A long value would hide the rest of the message.
        match self.value.char_indices().nth(LONGEST) {
            _ if !self.literal => "the value of its reference".into(),
            Some((end, _)) => format!("{:?}…", self.value.get(..end).unwrap_or_default()),
            None => format!("{:?}", self.value),
        }
    }
}

impl<'n> Node<'n, '_> {
    /// The span of the value in the file.
    pub(super) fn place(&self) -> Range<usize> {
        self.value.span()
    }

    /// Reports a problem with this value. Returns `None`.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.doc
            .problem(Some(self.place()), self.key, message.into(), None);
        None
    }

    /// Reports a problem with this value, and its remedy. Returns `None`.
    pub(super) fn refuse_with<T>(
        &self,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.doc.problem(
            Some(self.place()),
            self.key,
            message.into(),
            Some(help.into()),
        );
        None
    }

    /// Reports that the value has another type than `expected`.
    pub(super) fn mismatch<T>(&self, expected: &str) -> Option<T> {
        self.refuse(format!("expected {expected}, found {}", self.kind()))
    }

    fn kind(&self) -> &'static str {
        match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// Reads a string that messages may display.
    pub(super) fn text(&self) -> Option<Text> {
        self.text_or("a string")
    }

    /// Reads a string that messages may display; `expected` describes it in messages.
    pub(super) fn text_or(&self, expected: &str) -> Option<Text> {
        self.publish();
        self.string(expected)
    }

    /// Reads a secret: a string that is never displayed.
    pub(super) fn secret(&self) -> Option<Text> {
        let text = self.string("a string")?;
        if text.value.is_empty() {
            return self.refuse_with(
                "must not be empty",
                "set it to the secret, or remove the key",
            );
        }
        Some(text)
    }

    /// Reports that the value has another type than `expected`, and publishes it as not secret.
    pub(super) fn public_mismatch<T>(&self, expected: &str) -> Option<T> {
        self.publish();
        self.mismatch(expected)
    }

    /// Allows messages to display the value.
    pub(super) fn publish(&self) {
        // A URL can contain a password before its host.
        let may_be_secret =
            matches!(self.value.get_ref(), DeValue::String(text) if has_credentials(text));
        if !may_be_secret {
            self.doc.publish(self.place());
        }
    }

    fn string(&self, expected: &str) -> Option<Text> {
        let DeValue::String(text) = self.value.get_ref() else {
            return self.mismatch(expected);
        };
        match interpolate::interpolate(text, self.doc.sources()) {
            Ok(None) => Some(Text {
                value: text.as_ref().to_owned(),
                literal: true,
            }),
            Ok(Some(value)) => Some(Text {
                value,
                literal: false,
            }),
            Err(bad) => {
                for bad_reference in bad {
                    let place = self.find(&bad_reference.written);
                    self.doc.problem(
                        Some(place),
                        self.key,
                        bad_reference.message,
                        Some(bad_reference.help),
                    );
                }
                None
            }
        }
    }

    /// Returns the span of the reference that begins with `written` inside the value, or the whole
    /// value if the reference is not found.
    fn find(&self, written: &str) -> Range<usize> {
        let place = self.place();
        // The TOML text may escape characters of the reference; the whole value is underlined then.
        let Some(at) = self.doc.text_at(place.clone()).find(written) else {
            return place;
        };
        let start = place.start + at;
        let end = self
            .doc
            .text_at(start..place.end)
            .find('}')
            .map_or(place.end, |brace| start + brace + 1);
        start..end
    }

    /// Reads `true` or `false`, also as the text of a reference.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            // References exist only in strings; a string without one is a mistake.
            DeValue::String(text) if text.contains("${") => match self.text()?.value.as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => self.refuse("expected true or false, found another value in its reference"),
            },
            _ => {
                self.publish();
                self.mismatch("true or false")
            }
        }
    }

    /// Reads a whole number from `from` to `to`, also as the text of a reference.
    pub(super) fn number(&self, from: u64, to: u64) -> Option<u64> {
        let range = format!("a whole number from {from} to {to}");
        // A technical maximum distracts in a message; it is named only to operators whose value
        // exceeds it.
        let lower_bound = if to < u32::MAX.into() {
            range.clone()
        } else {
            format!("a whole number of at least {from}")
        };
        let read = match self.value.get_ref() {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()),
            DeValue::String(text) if text.contains("${") => self.text()?.value.parse(),
            _ => {
                self.publish();
                return self.mismatch(&lower_bound);
            }
        };
        self.publish();
        match read {
            Ok(number) if (from..=to).contains(&number) => Some(number),
            Ok(number) if number > to => self.refuse(format!("expected {range}")),
            // Digits that overflow `u64` exceed `to` as well.
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
                self.refuse(format!("expected {range}"))
            }
            _ => self.refuse(format!("expected {lower_bound}")),
        }
    }

    /// Reads one of `words`.
    pub(super) fn one_of(&self, words: &[Word]) -> Option<Word> {
        let expected = format!(
            "one of {}",
            words
                .iter()
                .map(|one_of| format!("{one_of:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        let text = self.text_or(&expected)?;
        if let Some(one_of) = words.iter().find(|one_of| **one_of == text.value) {
            return Some(one_of);
        }
        let message = format!("expected {expected}, found {}", text.quoted());
        match nearest(&text.value, words.iter().copied()) {
            Some(near) => self.refuse_with(message, format!("did you mean \"{near}\"?")),
            None => self.refuse(message),
        }
    }

    /// Reads a list, each item with `read`. All items are read, also after a wrong one, so that
    /// every problem is reported.
    pub(super) fn list<T>(
        &self,
        expected: &str,
        read: impl Fn(&Node<'_, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let DeValue::Array(items) = self.value.get_ref() else {
            self.publish();
            let message = format!("expected {expected}, found {}", self.kind());
            return if self.is_table() {
                self.refuse(message)
            } else {
                self.refuse_with(message, "write a list: [ … ]")
            };
        };
        let keys = (0..items.len()).map(|n| format!("{}[{n}]", self.key));
        let read: Vec<_> = items
            .iter()
            .zip(keys)
            .map(|(value, key)| {
                read(&Node {
                    doc: self.doc,
                    key: &key,
                    value,
                })
            })
            .collect();
        // Collected only now: collecting lazily would stop at the first wrong item.
        read.into_iter().collect()
    }

    /// True if the value is a list.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Array(_))
    }

    /// True if the value is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Table(_))
    }
}
