//! Finds the paths that a file names, and the files that they lead to.
//!
//! A path is taken from the tokens, so paths in macros count too. A name that a module imports is
//! followed to the module that defines it.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::code::Source;

type Path = Vec<String>;

/// Maximum number of imports that are followed to find a definition.
const MAX_HOPS: usize = 8;

/// The paths that a file names, from the crate's root, and the names that it imports.
#[derive(Default)]
pub(crate) struct Paths {
    pub(crate) named: BTreeSet<Path>,
    imported: BTreeMap<String, Path>,
}

impl Paths {
    pub(crate) fn new(source: &Source) -> Self {
        let mut paths = Self::default();
        paths.scan(&source.modules, source.tokens.clone());
        // A path may begin with a name that is imported further below.
        let imported = paths.imported.clone();
        paths.named = std::mem::take(&mut paths.named)
            .into_iter()
            .map(|path| expand(path, &imported))
            .collect();
        paths
    }

    fn scan(&mut self, modules: &[String], tokens: TokenStream) {
        let mut rest = Tokens::new(tokens);
        while let Some(token) = rest.next() {
            match token {
                TokenTree::Ident(word) if word == "use" => self.import(modules, &mut rest),
                TokenTree::Ident(word) if word == "mod" => {
                    let name = rest.next().map(|it| it.to_string());
                    if let Some(TokenTree::Group(body)) = rest.peek() {
                        let inner = [modules, &[name.unwrap_or_default()]].concat();
                        self.scan(&inner, body.stream());
                        rest.next();
                    }
                }
                TokenTree::Ident(word) => {
                    let path = rest.path(word.to_string());
                    if path.len() > 1 {
                        self.named.insert(absolute(modules, path));
                    }
                }
                TokenTree::Group(group) => self.scan(modules, group.stream()),
                _ => {}
            }
        }
    }

    /// Reads the rest of a `use` item.
    fn import(&mut self, modules: &[String], rest: &mut Tokens) {
        let item = std::iter::from_fn(|| rest.next()).take_while(|it| it.to_string() != ";");
        self.tree(modules, &[], &mut Tokens::new(item.collect()));
    }

    fn tree(&mut self, modules: &[String], prefix: &[String], rest: &mut Tokens) {
        while let Some(token) = rest.next() {
            let mut path = prefix.to_vec();
            match token {
                TokenTree::Ident(word) => path.extend(rest.path(word.to_string())),
                TokenTree::Group(list) if list.delimiter() == Delimiter::Brace => {
                    self.tree(modules, prefix, &mut Tokens::new(list.stream()));
                    continue;
                }
                _ => continue,
            }
            if let Some(TokenTree::Group(list)) = rest.peek() {
                let list = list.stream();
                rest.next();
                self.tree(modules, &path, &mut Tokens::new(list));
                continue;
            }
            path.pop_if(|it| it == "self");
            let alias = rest.peek().is_some_and(|it| it.to_string() == "as");
            let name = alias.then(|| rest.nth(1)).flatten();
            let name = name.map(|it| it.to_string()).or(path.last().cloned());
            let path = absolute(modules, path);
            self.named.insert(path.clone());
            self.imported.insert(name.unwrap_or_default(), path);
        }
    }
}

/// The tokens of a stream, one ahead.
struct Tokens(std::iter::Peekable<proc_macro2::token_stream::IntoIter>);

impl Tokens {
    fn new(tokens: TokenStream) -> Self {
        Self(tokens.into_iter().peekable())
    }

    fn peek(&mut self) -> Option<&TokenTree> {
        self.0.peek()
    }

    /// Reads a path that begins with `first`: up to a name that no `::` follows, or up to the
    /// braces, star or generics after a `::`.
    fn path(&mut self, first: String) -> Path {
        let is_colon =
            |it: &TokenTree| matches!(it, TokenTree::Punct(mark) if mark.as_char() == ':');
        let mut path = vec![first];
        loop {
            let mut ahead = self.0.clone();
            let colons = ahead.by_ref().take(2).filter(is_colon).count();
            match ahead.next() {
                Some(TokenTree::Ident(name)) if colons == 2 => {
                    path.push(name.to_string());
                    self.nth(2);
                }
                Some(TokenTree::Group(_)) if colons == 2 => {
                    self.nth(1);
                    return path;
                }
                _ => return path,
            }
        }
    }
}

impl Iterator for Tokens {
    type Item = TokenTree;

    fn next(&mut self) -> Option<TokenTree> {
        self.0.next()
    }
}

/// Returns the path from the crate's root. A path that begins with another name stays as it is.
fn absolute(modules: &[String], path: Path) -> Path {
    let mut base: &[String] = modules;
    let mut rest: &[String] = &path;
    match path.first().map(String::as_str) {
        Some("crate" | "sluicegate") => (base, rest) = (&[], &path[1..]),
        Some("self" | "super") => {
            while let [first, others @ ..] = rest {
                match first.as_str() {
                    "super" => base = base.split_last().map_or(base, |it| it.1),
                    "self" => {}
                    _ => break,
                }
                rest = others;
            }
        }
        _ => return path,
    }
    let mut found = vec!["crate".to_owned()];
    found.extend(base.iter().chain(rest).cloned());
    found
}

/// Replaces the first name of a path by the import of this name.
fn expand(path: Path, imported: &BTreeMap<String, Path>) -> Path {
    match path.split_first() {
        Some((first, rest)) if imported.contains_key(first) => {
            [imported[first].as_slice(), rest].concat()
        }
        _ => path,
    }
}

/// The modules of a crate, by their paths from its root.
pub(crate) struct Modules(BTreeMap<Path, Paths>);

impl Modules {
    pub(crate) fn new(sources: &[Source]) -> Self {
        let paths = |it: &Source| (it.modules.clone(), Paths::new(it));
        Self(sources.iter().map(paths).collect())
    }

    /// Returns the modules that this module imports from, as far as they are files.
    pub(crate) fn targets(&self, module: &Path) -> BTreeSet<Path> {
        let named = self.0.get(module).map(|it| &it.named);
        let mut found: BTreeSet<Path> = named
            .into_iter()
            .flatten()
            .filter_map(|path| self.definition(module, path, MAX_HOPS))
            .collect();
        found.remove(module);
        found
    }

    /// Returns the module that defines what a path in `module` names.
    fn definition(&self, module: &Path, path: &Path, hops: usize) -> Option<Path> {
        let path = match path.split_first() {
            Some((first, rest)) if first == "crate" => rest.to_vec(),
            // A path may begin with a child module.
            Some((first, _)) => {
                let child = [module.as_slice(), std::slice::from_ref(first)].concat();
                self.0.get(&child)?;
                [module.as_slice(), path].concat()
            }
            None => return None,
        };
        let length = (1..=path.len())
            .rev()
            .find(|length| self.0.contains_key(&path[..*length]))?;
        let (owner, names) = path.split_at(length);
        let owner = owner.to_vec();
        let import = names.first().and_then(|it| self.0[&owner].imported.get(it));
        match import {
            Some(import) if hops > 0 => {
                let further = [import.as_slice(), &names[1..]].concat();
                Some(self.definition(&owner, &further, hops - 1).unwrap_or(owner))
            }
            _ => Some(owner),
        }
    }
}
