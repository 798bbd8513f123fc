//! The file being read: its text, its places, and the problems found so far.
//!
//! Invariants: every problem is recorded here, so that all are collected and none displays a masked
//! value.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::excerpt::Excerpt;
use super::interpolate::Sources;
use super::mask;
use super::problem::{Problem, Problems};
use super::syntax::{self, SyntaxProblem};

/// A span of the file's text; `None` if the problem is about the file as a whole.
pub(super) type Place = Option<Range<usize>>;

/// The file being read.
pub(super) struct Doc<'a> {
    path: &'a Path,
    text: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// The offset of each line's first byte.
    lines: Vec<usize>,
    /// The offsets at which the text is not TOML.
    broken: BTreeSet<usize>,
    /// The spans of all values that could be secrets.
    values: Vec<Range<usize>>,
    /// The first offsets of values that readers have declared not secret.
    public: RefCell<BTreeSet<usize>>,
    found: RefCell<Vec<Finding>>,
}

struct Finding {
    place: Place,
    key: String,
    message: String,
    help: Option<String>,
}

impl<'a> Doc<'a> {
    /// Parses `text` as far as possible. Syntax errors are recorded as problems.
    pub(super) fn parse(
        path: &'a Path,
        text: &'a str,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> (Self, Spanned<DeValue<'a>>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        // An empty span marks the file itself, which has no header to underline.
        let table = Spanned::new(0..0, DeValue::Table(table.into_inner()));
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let mut values = Vec::new();
        mask::secret_values(&table, &mut values);
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
        for SyntaxProblem {
            place,
            message,
            help,
        } in syntax::problems_in(text, &table, &errors)
        {
            doc.problem(Some(place), "", message, help);
        }
        (doc, table)
    }

    /// Records a problem.
    pub(super) fn problem(&self, place: Place, key: &str, message: String, help: Option<String>) {
        self.found.borrow_mut().push(Finding {
            place,
            key: key.to_owned(),
            message,
            help,
        });
    }

    /// Marks the value at `place` as not secret, so that messages may display it.
    pub(super) fn publish(&self, place: Range<usize>) {
        self.public.borrow_mut().insert(place.start);
    }

    /// True if parts of the file could not be parsed. A key that seems to be missing may then be in
    /// an unparsed part.
    pub(super) fn is_partial(&self) -> bool {
        !self.broken.is_empty()
    }

    /// True if `place` contains a syntax error.
    pub(super) fn is_broken(&self, place: &Range<usize>) -> bool {
        self.broken
            .range(place.start..=place.end.max(place.start))
            .next()
            .is_some()
    }

    /// The environment and the folder that references in strings are resolved with.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources {
            env: self.env,
            folder: self.folder(),
        }
    }

    /// Resolves a path of the configuration; a relative path starts at the file's folder.
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

    /// Returns all recorded problems; `None` if there are none.
    pub(super) fn problems(&self) -> Option<Problems> {
        let found = self.found.borrow();
        // Masks are computed last, when all readers have published their values.
        let masks = self.masks();
        let list: Vec<_> = found
            .iter()
            .map(|found| self.to_problem(found, &masks))
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

    fn to_problem(&self, found: &Finding, masks: &[Range<usize>]) -> Problem {
        let Finding {
            place,
            key,
            message,
            help,
        } = found;
        let at = self.boundary(place.as_ref().map_or(0, |place| place.start));
        let row = self.row(at);
        let line = self.line(row);
        let column = self.text_at(line.start..at).chars().count() + 1;
        let excerpt = place.as_ref().map(|place| {
            // The parser reports no values on a line that is not TOML, so the line gets masks of
            // its own.
            let broken = self.is_broken(&line);
            let line_masks = if broken {
                mask::secret_words(self.text, line.clone())
            } else {
                Vec::new()
            };
            Excerpt::new(
                self.text,
                line,
                place,
                if broken { &line_masks } else { masks },
            )
        });
        Problem {
            line: row + 1,
            column,
            key: key.clone(),
            message: message.clone(),
            help: help.clone(),
            excerpt,
        }
    }

    /// Returns the largest character boundary of the text that is not after `at`.
    fn boundary(&self, at: usize) -> usize {
        (0..=at.min(self.text.len()))
            .rev()
            .find(|at| self.text.is_char_boundary(*at))
            .unwrap_or(0)
    }

    /// Returns the line number of `at`, counted from 0.
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
        // The CR of a Windows line end is not part of the line.
        let content = self.text_at(start..end).trim_end_matches('\r');
        start..start + content.len()
    }
}
