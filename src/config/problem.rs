//! What is wrong with a configuration: all of it at once, each problem with its place and what to
//! do.
//!
//! Invariants: a problem holds no secret. The source line it shows has been masked (`shown`), and
//! messages quote only what a reader has read as public.

use std::fmt;
use std::path::{Path, PathBuf};

use super::shown::Shown;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 where the file as a whole is meant.
    pub column: usize,
    /// The key, `providers.openai.api_key`; empty where it is not about one key.
    pub key: String,
    /// What is wrong, and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The source line with its secrets masked, where there is one to show.
    pub(super) shown: Option<Shown>,
}

impl Problem {
    /// A problem with the file as a whole.
    pub(super) fn of_file(message: String, help: &str) -> Self {
        Self {
            line: 0,
            column: 0,
            key: String::new(),
            message,
            help: Some(help.to_owned()),
            shown: None,
        }
    }
}

/// Everything that is wrong with one file, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    /// The problems of `file`, sorted by place; the same thing said twice is said once.
    pub(super) fn new(file: &Path, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| (problem.line, problem.column));
        list.dedup();
        Self {
            file: file.to_path_buf(),
            list,
        }
    }

    /// The one problem of `file`.
    pub(super) fn one(file: &Path, problem: Problem) -> Self {
        Self::new(file, vec![problem])
    }

    /// The file they are in.
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
    if let Some(shown) = &problem.shown {
        let number = problem.line.to_string();
        writeln!(f, "  {number} | {}", shown.line)?;
        writeln!(
            f,
            "  {:gutter$} | {:caret$}{}",
            "",
            "",
            "^".repeat(shown.width.max(1)),
            gutter = number.len(),
            caret = shown.caret
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
    fn problems_come_in_the_order_of_lines_and_once() {
        let at = |line| Problem {
            line,
            column: 1,
            key: "k".into(),
            message: "m".into(),
            help: None,
            shown: None,
        };
        let problems = Problems::new(Path::new("c.toml"), vec![at(3), at(1), at(3)]);
        assert_eq!(
            problems.to_string(),
            "c.toml:1:1: k: m\n\nc.toml:3:1: k: m\n"
        );
    }
}
