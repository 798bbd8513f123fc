//! A table of the file: its keys are checked when it is opened, then read one by one.
//!
//! Invariants: unknown keys, and keys whose part is not built yet, are told once, at opening. A
//! table that is absent reads like an empty one.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::doc::{Doc, Place};
use super::nearest::nearest;
use super::node::Node;
use super::schema::{Key, Keys, SECTIONS};

/// A table, its key and its place.
#[derive(Clone, Copy)]
pub(super) struct Table<'n, 'a> {
    pub(super) doc: &'n Doc<'a>,
    pub(super) key: &'n str,
    keys: Keys,
    at: Option<&'n Spanned<DeValue<'a>>>,
    entries: Option<&'n DeTable<'a>>,
}

impl<'n, 'a> Table<'n, 'a> {
    /// The table that `node` is, if it is one. Its keys are checked against `keys`.
    pub(super) fn open(node: &Node<'n, 'a>, keys: Keys) -> Option<Self> {
        let table = Self {
            keys,
            ..Self::open_any(node)?
        };
        for (name, _) in table.entries.into_iter().flatten() {
            table.check(name);
        }
        Some(table)
    }

    /// The table that `node` is, if it is one. Its keys are names of the operator's choice.
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

    /// A table that the file does not have.
    pub(super) const fn absent(doc: &'n Doc<'a>, key: &'n str) -> Self {
        Self {
            doc,
            key,
            keys: &[],
            at: None,
            entries: None,
        }
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Place {
        self.at.map(Spanned::span).filter(|place| !place.is_empty())
    }

    /// It has that key, misspelt perhaps, or may have it where the file is broken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.doc.is_partial()
            || self.entry(name).is_some()
            || self
                .names()
                .into_iter()
                .any(|wrong| self.meant(wrong) == Some(name))
    }

    /// The key that somebody meant who wrote `wrong`, which is none.
    fn meant(&self, wrong: &str) -> Option<&'static str> {
        let unknown = self.keys.iter().all(|key| key.name() != wrong);
        if unknown {
            nearest(wrong, self.keys.iter().map(Key::name))
        } else {
            None
        }
    }

    /// Reads the value of a key; `None` where it is not there, or wrong.
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
        (!self.doc.is_broken(&value.span())).then(|| read(&node))?
    }

    /// Reads the value of a key that may be left out: `Some(None)` where it is, `None` where it is
    /// wrong.
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

    /// Reads the table of a key with `keys`; an absent one like an empty one.
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

    /// Reads every entry of a table whose keys are names: `read` gets the name and the value.
    pub(super) fn each<T>(&self, mut read: impl FnMut(&str, &Node<'_, 'a>) -> Option<T>) -> Vec<T> {
        let names = self.names();
        names
            .into_iter()
            .filter_map(|name| self.read(name, |node| read(name, node)))
            .collect()
    }

    /// The names of its entries.
    pub(super) fn names(&self) -> Vec<&'n str> {
        self.entries
            .into_iter()
            .flatten()
            .map(|(name, _)| name.get_ref().as_ref())
            .collect()
    }

    /// Says that it lacks `name`, unless the file is broken.
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

    /// Says that `name`, which it has, should not be there.
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

    fn check(&self, name: &Spanned<DeString<'a>>) {
        let text = name.get_ref().as_ref();
        match self.keys.iter().find(|key| key.name() == text) {
            Some(Key::Built(_)) => {}
            Some(Key::Later { instead, .. }) => {
                self.wrong(
                    name.span(),
                    text,
                    format!("`{text}` is not built yet"),
                    Some((*instead).to_owned()),
                );
            }
            None => self.wrong(
                name.span(),
                text,
                "unknown key".to_owned(),
                self.advice(text),
            ),
        }
    }

    /// What to do about an unknown key.
    fn advice(&self, name: &str) -> Option<String> {
        if let Some(near) = self.meant(name) {
            return Some(format!("did you mean `{near}`?"));
        }
        let (section, _) = SECTIONS
            .iter()
            .find(|(_, keys)| keys.iter().any(|key| key.name() == name))?;
        Some(format!("it is a key of {section}"))
    }

    fn wrong(&self, place: Range<usize>, name: &str, message: String, help: Option<String>) {
        if !self.doc.is_broken(&place) {
            self.doc
                .problem(Some(place), &path(self.key, name), message, help);
        }
    }
}

/// The key `name` of the table `key`, quoted where TOML wants it so.
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
