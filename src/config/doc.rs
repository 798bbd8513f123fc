//! The file being read: its text, the places in it, and what has been found wrong so far.
//!
//! Invariants: every problem goes through here, so that all are collected and none shows what the
//! mask hides.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::interpolate::Surroundings;
use super::mask;
use super::problem::{Problem, Problems};
use super::shown::Shown;
use super::syntax::{self, Unreadable};

/// A place in the file, as a span of its text; `None` where something is missing from the file as a
/// whole.
pub(super) type Place = Option<Range<usize>>;

/// The file.
pub(super) struct Doc<'a> {
    path: &'a Path,
    text: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Where the text is not TOML.
    broken: BTreeSet<usize>,
    /// All values that could be secrets.
    values: Vec<Range<usize>>,
    /// Where those begin that turned out to be none.
    public: RefCell<BTreeSet<usize>>,
    found: RefCell<Vec<Found>>,
}

struct Found {
    place: Place,
    key: String,
    message: String,
    help: Option<String>,
}

impl<'a> Doc<'a> {
    /// Parses `text` as far as it goes; where it is not TOML, problems have been found already.
    pub(super) fn parse(
        path: &'a Path,
        text: &'a str,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> (Self, Spanned<DeValue<'a>>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let table = Spanned::new(0..0, DeValue::Table(table.into_inner()));
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let mut values = Vec::new();
        mask::values(&table, &mut values);
        values.sort_by_key(|value| value.start);
        let broken = errors
            .iter()
            .map(|error| error.span().map_or(0, |span| span.start))
            .collect();
        let doc = Self {
            path,
            text,
            env,
            lines,
            broken,
            values,
            public: RefCell::default(),
            found: RefCell::default(),
        };
        for Unreadable {
            place,
            message,
            help,
        } in syntax::unreadable(text, &table, &errors)
        {
            doc.problem(Some(place), "", message, help);
        }
        (doc, table)
    }

    /// Says that something is wrong.
    pub(super) fn problem(&self, place: Place, key: &str, message: String, help: Option<String>) {
        self.found.borrow_mut().push(Found {
            place,
            key: key.to_owned(),
            message,
            help,
        });
    }

    /// The value at `place` is no secret: it may be shown.
    pub(super) fn publish(&self, place: Range<usize>) {
        self.public.borrow_mut().insert(place.start);
    }

    /// Parts of the file could not be read, so that what seems to be missing may be there.
    pub(super) fn is_partial(&self) -> bool {
        !self.broken.is_empty()
    }

    /// The text could not be read within `place`.
    pub(super) fn is_broken(&self, place: &Range<usize>) -> bool {
        self.broken
            .range(place.start..=place.end.max(place.start))
            .next()
            .is_some()
    }

    /// Where references in strings get their values from.
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            env: self.env,
            folder: self.folder(),
        }
    }

    /// A path of the configuration: relative ones begin at the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.folder().join(path)
    }

    /// The text at `place`.
    pub(super) fn text_at(&self, place: Range<usize>) -> &'a str {
        self.text.get(place).unwrap_or_default()
    }

    fn folder(&self) -> &'a Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Everything that has been found wrong, if anything has.
    pub(super) fn problems(&self) -> Option<Problems> {
        let found = self.found.borrow();
        let masks = self.masks();
        let list: Vec<_> = found
            .iter()
            .map(|found| self.finish(found, &masks))
            .collect();
        (!list.is_empty()).then(|| Problems::new(self.path, list))
    }

    fn masks(&self) -> Vec<Range<usize>> {
        let public = self.public.borrow();
        self.values
            .iter()
            .filter(|value| !public.contains(&value.start))
            .cloned()
            .collect()
    }

    fn finish(&self, found: &Found, masks: &[Range<usize>]) -> Problem {
        let Found {
            place,
            key,
            message,
            help,
        } = found;
        let at = self.boundary(place.as_ref().map_or(0, |place| place.start));
        let row = self.row(at);
        let line = self.line(row);
        let column = self.text_at(line.start..at).chars().count() + 1;
        let shown = place.as_ref().map(|place| {
            let broken = self.is_broken(&line);
            let own = if broken {
                mask::line(self.text, line.clone())
            } else {
                Vec::new()
            };
            Shown::new(self.text, line, place, if broken { &own } else { masks })
        });
        Problem {
            line: row + 1,
            column,
            key: key.clone(),
            message: message.clone(),
            help: help.clone(),
            shown,
        }
    }

    /// `at`, moved back to where a character begins within the text.
    fn boundary(&self, at: usize) -> usize {
        (0..=at.min(self.text.len()))
            .rev()
            .find(|at| self.text.is_char_boundary(*at))
            .unwrap_or(0)
    }

    /// The line of `at`, from 0.
    fn row(&self, at: usize) -> usize {
        self.lines
            .partition_point(|start| *start <= at)
            .saturating_sub(1)
    }

    fn line(&self, row: usize) -> Range<usize> {
        let start = self.lines.get(row).copied().unwrap_or(0);
        let end = self
            .lines
            .get(row + 1)
            .map_or(self.text.len(), |next| next - 1);
        let content = self.text_at(start..end).trim_end_matches('\r');
        start..start + content.len()
    }
}
