//! The problems of a configuration: all at once, each with its place and its remedy.
//!
//! Invariants: a problem contains no secret. Its source line is masked (`excerpt`), and messages
//! quote only values that a reader has published.

use std::fmt;
use std::path::{Path, PathBuf};

use super::excerpt::Excerpt;

/// One problem of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 if the problem is about the whole file.
    pub line: usize,
    /// The column in characters, from 1; 0 if the problem is about the whole file.
    pub column: usize,
    /// The key, for example `providers.openai.api_key`; empty if the problem is not about one key.
    pub key: String,
    /// The description of the problem: the value found and the value expected.
    pub message: String,
    /// The remedy.
    pub help: Option<String>,
    /// The masked source line; `None` if the problem is about the whole file.
    pub(super) excerpt: Option<Excerpt>,
}

impl Problem {
    /// Returns a problem about the whole file.
    pub(super) fn of_file(message: String, help: &str) -> Self {
        Self {
            line: 0,
            column: 0,
            key: String::new(),
            message,
            help: Some(help.to_owned()),
            excerpt: None,
        }
    }
}

/// All problems of one file, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    /// Collects the problems of `file`, sorted by place, without duplicates.
    pub(super) fn new(file: &Path, mut list: Vec<Problem>) -> Self {
        // Two readers may report the same problem of one value; sorting makes the duplicates
        // neighbours.
        list.sort_by_key(|problem| (problem.line, problem.column));
        list.dedup();
        Self {
            file: file.to_path_buf(),
            list,
        }
    }

    /// Returns the problems of a file that has only this one.
    pub(super) fn one(file: &Path, problem: Problem) -> Self {
        Self::new(file, vec![problem])
    }

    /// The file that the problems are in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The problems, in the order of the file's lines.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.list.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write_one(f, &self.file, problem)?;
        }
        Ok(())
    }
}

fn write_one(f: &mut fmt::Formatter<'_>, file: &Path, problem: &Problem) -> fmt::Result {
    write!(f, "{}:", file.display())?;
    if problem.line > 0 {
        write!(f, "{}:{}:", problem.line, problem.column)?;
    }
    if !problem.key.is_empty() {
        write!(f, " {}:", problem.key)?;
    }
    writeln!(f, " {}", problem.message)?;
    if let Some(excerpt) = &problem.excerpt {
        let number = problem.line.to_string();
        writeln!(f, "  {number} | {}", excerpt.line)?;
        writeln!(
            f,
            "  {:gutter$} | {:caret$}{}",
            "",
            "",
            "^".repeat(excerpt.width.max(1)),
            gutter = number.len(),
            caret = excerpt.caret
        )?;
    }
    match &problem.help {
        Some(help) => writeln!(f, "  help: {help}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_the_whole_file_has_no_place() {
        let problems = Problems::one(
            Path::new("c.toml"),
            Problem::of_file("cannot be read".into(), "name another"),
        );
        assert_eq!(
            problems.to_string(),
            "c.toml: cannot be read\n  help: name another\n"
        );
    }

    #[test]
    fn problems_are_sorted_by_line_and_deduplicated() {
        let at = |line| Problem {
            line,
            column: 1,
            key: "k".into(),
            message: "m".into(),
            help: None,
            excerpt: None,
        };
        let problems = Problems::new(Path::new("c.toml"), vec![at(3), at(1), at(3)]);
        assert_eq!(
            problems.to_string(),
            "c.toml:1:1: k: m\n\nc.toml:3:1: k: m\n"
        );
    }
}
