//! A table of the file: its keys are checked when it is opened, then read one by one.
//!
//! Invariants: unknown keys and keys that are not supported yet are reported once, when the table
//! is opened. An absent table reads like an empty one.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::doc::{Doc, Place};
use super::nearest::nearest;
use super::node::Node;
use super::schema::{Key, Keys, SECTIONS};

/// A table with its key and its place.
#[derive(Clone, Copy)]
pub(super) struct Table<'n, 'a> {
    pub(super) doc: &'n Doc<'a>,
    pub(super) key: &'n str,
    keys: Keys,
    at: Option<&'n Spanned<DeValue<'a>>>,
    entries: Option<&'n DeTable<'a>>,
}

impl<'n, 'a> Table<'n, 'a> {
    /// Opens the table at `node` and checks its keys against `keys`. Another type is reported.
    pub(super) fn open(node: &Node<'n, 'a>, keys: Keys) -> Option<Self> {
        let table = Self {
            keys,
            ..Self::open_any(node)?
        };
        for (name, _) in table.entries.into_iter().flatten() {
            table.check_key(name);
        }
        Some(table)
    }

    /// Opens the table at `node`, whose keys are names chosen by the operator. Another type is
    /// reported.
    pub(super) fn open_any(node: &Node<'n, 'a>) -> Option<Self> {
        match node.value.get_ref() {
            DeValue::Table(entries) => Some(Self {
                doc: node.doc,
                key: node.key,
                keys: &[],
                at: Some(node.value),
                entries: Some(entries),
            }),
            _ => node.mismatch("a table"),
        }
    }

    /// Returns a table that the file does not contain.
    pub(super) const fn absent(doc: &'n Doc<'a>, key: &'n str) -> Self {
        Self {
            doc,
            key,
            keys: &[],
            at: None,
            entries: None,
        }
    }

    /// The span of the table; `None` for the file itself and for an absent table.
    pub(super) fn place(&self) -> Place {
        self.at.map(Spanned::span).filter(|place| !place.is_empty())
    }

    /// True if the table contains the key `name` or a misspelling of it, or may contain it because
    /// the file was not fully parsed. A key is reported as missing only if this is false.
    pub(super) fn has(&self, name: &str) -> bool {
        self.doc.is_partial()
            || self.entry(name).is_some()
            || self
                .names()
                .into_iter()
                .any(|wrong| self.nearest_key(wrong) == Some(name))
    }

    /// Returns the known key that `wrong` is probably a misspelling of; `None` if `wrong` is itself
    /// a known key.
    fn nearest_key(&self, wrong: &str) -> Option<&'static str> {
        let unknown = self.keys.iter().all(|key| key.name() != wrong);
        if unknown {
            nearest(wrong, self.keys.iter().map(Key::name))
        } else {
            None
        }
    }

    /// Reads the value of a key with `read`; `None` if the key is absent or its value is wrong.
    pub(super) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Node<'_, 'a>) -> Option<T>,
    ) -> Option<T> {
        let (_, value) = self.entry(name)?;
        let key = path(self.key, name);
        let node = Node {
            doc: self.doc,
            key: &key,
            value,
        };
        // The parser recovers from a syntax error with a placeholder value, which is not checked.
        (!self.doc.is_broken(&value.span())).then(|| read(&node))?
    }

    /// Reads the value of an optional key: `Some(None)` if the key is absent, `None` if its value
    /// is wrong.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Node<'_, 'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.has(name) {
            self.read(name, read).map(Some)
        } else {
            Some(None)
        }
    }

    /// Reads the table at the key `name`, whose keys are `keys`; an absent table like an empty one.
    pub(super) fn section<T>(
        &self,
        name: &str,
        keys: Keys,
        read: impl FnOnce(&Table<'_, 'a>) -> T,
    ) -> Option<T> {
        match self.entry(name) {
            Some(_) => self.read(name, |node| {
                Table::open(node, keys).map(|table| read(&table))
            }),
            None => Some(read(&Table::absent(self.doc, &path(self.key, name)))),
        }
    }

    /// Reads every entry of a table whose keys are names; `read` receives the name and the value.
    pub(super) fn each<T>(&self, mut read: impl FnMut(&str, &Node<'_, 'a>) -> Option<T>) -> Vec<T> {
        let names = self.names();
        names
            .into_iter()
            .filter_map(|name| self.read(name, |node| read(name, node)))
            .collect()
    }

    /// The names of the table's entries.
    pub(super) fn names(&self) -> Vec<&'n str> {
        self.entries
            .into_iter()
            .flatten()
            .map(|(name, _)| name.get_ref().as_ref())
            .collect()
    }

    /// Reports that the table lacks the key `name` (an empty name reports the table itself), unless
    /// the file was not fully parsed. Returns `None`.
    pub(super) fn missing<T>(
        &self,
        name: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        if !self.doc.is_partial() {
            let key = if name.is_empty() {
                self.key.to_owned()
            } else {
                path(self.key, name)
            };
            self.doc
                .problem(self.place(), &key, message.into(), Some(help.into()));
        }
        None
    }

    /// Reports that the key `name` must not be used here, if the table contains it.
    pub(super) fn misplaced(
        &self,
        name: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if let Some((key, _)) = self.entry(name) {
            self.doc.problem(
                Some(key.span()),
                &path(self.key, name),
                message.into(),
                Some(help.into()),
            );
        }
    }

    fn entry(&self, name: &str) -> Option<(&'n Spanned<DeString<'a>>, &'n Spanned<DeValue<'a>>)> {
        self.entries?.get_key_value(name)
    }

    fn check_key(&self, name: &Spanned<DeString<'a>>) {
        let text = name.get_ref().as_ref();
        match self.keys.iter().find(|key| key.name() == text) {
            Some(Key::Supported(_)) => {}
            Some(Key::Planned { help, .. }) => {
                self.report(
                    name.span(),
                    text,
                    format!("`{text}` is not supported yet"),
                    Some((*help).to_owned()),
                );
            }
            None => self.report(
                name.span(),
                text,
                "unknown key".to_owned(),
                self.unknown_key_help(text),
            ),
        }
    }

    /// Returns the remedy for an unknown key: the nearest known key, or the section it belongs to.
    fn unknown_key_help(&self, name: &str) -> Option<String> {
        if let Some(near) = self.nearest_key(name) {
            return Some(format!("did you mean `{near}`?"));
        }
        let (section, _) = SECTIONS
            .iter()
            .find(|(_, keys)| keys.iter().any(|key| key.name() == name))?;
        Some(format!("this key belongs to {section}"))
    }

    fn report(&self, place: Range<usize>, name: &str, message: String, help: Option<String>) {
        // The syntax error at this place has been reported already.
        if !self.doc.is_broken(&place) {
            self.doc
                .problem(Some(place), &path(self.key, name), message, help);
        }
    }
}

/// Returns the path of the key `name` in the table `key`, quoted if TOML requires it.
pub(super) fn path(key: &str, name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let name = if bare {
        name.to_owned()
    } else {
        format!("{name:?}")
    };
    if key.is_empty() {
        name
    } else {
        format!("{key}.{name}")
    }
}
