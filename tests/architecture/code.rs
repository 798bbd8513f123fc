//! Reads a source tree: the tokens and the lines of each file, without its tests.
//!
//! Comments are no tokens. A file that is declared under `#[cfg(test)]` is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A source file without tests.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its module path from the crate's root.
    pub(crate) modules: Vec<String>,
    pub(crate) tokens: TokenStream,
    /// The lines that remain, with their numbers.
    pub(crate) lines: Vec<(usize, String)>,
    /// The modules that it declares under `#[cfg(test)]`, as paths without extension.
    pub(crate) test_modules: Vec<PathBuf>,
}

impl Source {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        let mut modules: Vec<String> = path
            .with_extension("")
            .iter()
            .map(|it| it.to_str().unwrap().to_owned())
            .collect();
        modules.retain(|it| it != "lib");
        let tokens: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut tests = Tests::default();
        let tokens = tests.remove(tokens);
        let mut lines: Vec<(usize, String)> = (1..)
            .zip(text.lines().map(str::to_owned))
            .filter(|(number, _)| !tests.lines.contains(number))
            .collect();
        while lines.pop_if(|(_, line)| line.trim().is_empty()).is_some() {}
        let folder = if path.ends_with("lib.rs") || path.ends_with("main.rs") {
            PathBuf::new()
        } else {
            path.with_extension("")
        };
        Self {
            path: path.to_owned(),
            modules,
            tokens,
            lines,
            test_modules: tests.modules.iter().map(|it| folder.join(it)).collect(),
        }
    }

    pub(crate) fn room(&self) -> Option<&str> {
        self.modules.first().map(String::as_str)
    }
}

/// The items under `#[cfg(test)]` that were found.
#[derive(Default)]
struct Tests {
    lines: BTreeSet<usize>,
    modules: Vec<String>,
}

impl Tests {
    fn remove(&mut self, tokens: TokenStream) -> TokenStream {
        let mut kept = Vec::new();
        let mut rest = tokens.into_iter().peekable();
        while let Some(token) = rest.next() {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' && is_test(rest.peek()) => {
                    self.remove_item(mark.span().start().line, &mut rest);
                }
                TokenTree::Group(group) => {
                    let mut cut = Group::new(group.delimiter(), self.remove(group.stream()));
                    cut.set_span(group.span());
                    kept.push(cut.into());
                }
                other => kept.push(other),
            }
        }
        kept.into_iter().collect()
    }

    /// Removes the item at the front of `rest`: up to its semicolon or its closing brace.
    fn remove_item(&mut self, first: usize, rest: &mut impl Iterator<Item = TokenTree>) {
        let mut words = Vec::new();
        for token in rest {
            self.lines.extend(first..=token.span().end().line);
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
                TokenTree::Punct(mark) if mark.as_char() == ';' => break,
                other => words.push(other.to_string()),
            }
        }
        let module = words.iter().skip_while(|word| *word != "mod").nth(1);
        self.modules.extend(module.cloned());
    }
}

/// Returns true for the brackets of `#[cfg(test)]`.
fn is_test(token: Option<&TokenTree>) -> bool {
    token.is_some_and(|it| it.to_string().replace(' ', "") == "[cfg(test)]")
}

/// Returns all source files, with paths below `root`, except test-only modules.
pub(crate) fn sources(root: &Path) -> Vec<Source> {
    let mut all: Vec<Source> = texts(root)
        .iter()
        .map(|(path, text)| Source::new(path, text))
        .collect();
    let test_only: Vec<PathBuf> = all.iter().flat_map(|it| it.test_modules.clone()).collect();
    all.retain(|source| {
        !test_only
            .iter()
            .any(|test| source.path == test.with_extension("rs") || source.path.starts_with(test))
    });
    all
}

/// Returns path and text of every Rust file below `root`, sorted by path.
pub(crate) fn texts(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let below = path.strip_prefix(root).unwrap().to_owned();
                found.push((below, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
