//! A value of the file with its key and place, and how plain values are read from it.
//!
//! Invariants: a reader gives `None` only after it has said why, or where the text itself is broken
//! (which has been said already). It publishes what it reads, secrets excepted; so a value of the
//! wrong type that no reader took stays masked.

use std::num::IntErrorKind;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::address::has_credentials;
use super::doc::Doc;
use super::interpolate;
use super::nearest::nearest;
use super::schema::Word;

/// A value, its key and its place.
#[derive(Clone, Copy)]
pub(super) struct Node<'n, 'a> {
    pub(super) doc: &'n Doc<'a>,
    pub(super) key: &'n str,
    pub(super) value: &'n Spanned<DeValue<'a>>,
}

/// A string of the file, its references replaced.
#[derive(Clone)]
pub(super) struct Text {
    /// What it says.
    pub(super) value: String,
    /// It stands in the file as it is, so that a message may quote it.
    literal: bool,
}

impl Text {
    /// How a message names it: quoted where it stands in the file, described where it came from
    /// elsewhere.
    pub(super) fn quoted(&self) -> String {
        const LONGEST: usize = 60;
        match self.value.char_indices().nth(LONGEST) {
            _ if !self.literal => "what its reference gives".into(),
            Some((end, _)) => format!("{:?}…", self.value.get(..end).unwrap_or_default()),
            None => format!("{:?}", self.value),
        }
    }
}

impl<'n> Node<'n, '_> {
    /// Its place.
    pub(super) fn place(&self) -> Range<usize> {
        self.value.span()
    }

    /// Says what is wrong with it.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.doc
            .problem(Some(self.place()), self.key, message.into(), None);
        None
    }

    /// Says what is wrong with it, and what to do.
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

    /// It is of another type than `expected`.
    pub(super) fn mismatch<T>(&self, expected: &str) -> Option<T> {
        self.refuse(format!("expected {expected}, found {}", self.kind()))
    }

    fn kind(&self) -> &'static str {
        match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// A string that may be shown.
    pub(super) fn text(&self) -> Option<Text> {
        self.text_or("a string")
    }

    /// A string that may be shown; `expected` says what it is for.
    pub(super) fn text_or(&self, expected: &str) -> Option<Text> {
        self.publish();
        self.string(expected)
    }

    /// A string that nobody may see.
    pub(super) fn secret(&self) -> Option<Text> {
        let text = self.string("a string")?;
        if text.value.is_empty() {
            return self.refuse_with("it is empty", "name its secret, or leave the key out");
        }
        Some(text)
    }

    /// It is of another type than `expected`, and no secret.
    pub(super) fn unlike<T>(&self, expected: &str) -> Option<T> {
        self.publish();
        self.mismatch(expected)
    }

    /// It may be shown.
    pub(super) fn publish(&self) {
        // A URL may carry a password before its host.
        let hidden = matches!(self.value.get_ref(), DeValue::String(text) if has_credentials(text));
        if !hidden {
            self.doc.publish(self.place());
        }
    }

    fn string(&self, expected: &str) -> Option<Text> {
        let DeValue::String(text) = self.value.get_ref() else {
            return self.mismatch(expected);
        };
        match interpolate::interpolate(text, self.doc.surroundings()) {
            Ok(None) => Some(Text {
                value: text.as_ref().to_owned(),
                literal: true,
            }),
            Ok(Some(value)) => Some(Text {
                value,
                literal: false,
            }),
            Err(mistakes) => {
                for mistake in mistakes {
                    let place = self.find(&mistake.written);
                    self.doc
                        .problem(Some(place), self.key, mistake.message, Some(mistake.help));
                }
                None
            }
        }
    }

    /// Where `written` stands in it.
    fn find(&self, written: &str) -> Range<usize> {
        let place = self.place();
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

    /// `true` or `false`, also as the text that a reference gives.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            DeValue::String(text) if text.contains("${") => match self.text()?.value.as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => {
                    self.refuse("expected true or false, found something else behind its reference")
                }
            },
            _ => {
                self.publish();
                self.mismatch("true or false")
            }
        }
    }

    /// A whole number from `from` to `to`, also as the text that a reference gives.
    pub(super) fn number(&self, from: u64, to: u64) -> Option<u64> {
        let range = format!("a whole number from {from} to {to}");
        // How far it may go is of interest only to who goes beyond.
        let usual = if to < u32::MAX.into() {
            range.clone()
        } else {
            format!("a whole number of at least {from}")
        };
        let read = match self.value.get_ref() {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()),
            DeValue::String(text) if text.contains("${") => self.text()?.value.parse(),
            _ => {
                self.publish();
                return self.mismatch(&usual);
            }
        };
        self.publish();
        match read {
            Ok(number) if (from..=to).contains(&number) => Some(number),
            Ok(number) if number > to => self.refuse(format!("expected {range}")),
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
                self.refuse(format!("expected {range}"))
            }
            _ => self.refuse(format!("expected {usual}")),
        }
    }

    /// One of `words`.
    pub(super) fn word(&self, words: &[Word]) -> Option<Word> {
        let expected = format!(
            "one of {}",
            words
                .iter()
                .map(|word| format!("{word:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        let text = self.text_or(&expected)?;
        if let Some(word) = words.iter().find(|word| **word == text.value) {
            return Some(word);
        }
        let message = format!("expected {expected}, found {}", text.quoted());
        match nearest(&text.value, words.iter().copied()) {
            Some(near) => self.refuse_with(message, format!("did you mean \"{near}\"?")),
            None => self.refuse(message),
        }
    }

    /// A list, each item read by `read`. All items are read, also after one that is wrong.
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
        read.into_iter().collect()
    }

    /// It is a list.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Array(_))
    }

    /// It is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Table(_))
    }
}
