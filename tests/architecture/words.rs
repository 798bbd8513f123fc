//! Checks the words: doc comments begin with a name or a verb, and no replaced name remains.

use std::collections::BTreeSet;

use super::texts_below;

/// Words that begin a doc comment which is a riddle instead of a name or a verb.
const RIDDLES: [&str; 6] = ["What ", "Who ", "Whose ", "Whoever ", "Whatever ", "How "];

/// Names that the vocabulary of the contract has replaced.
const OLD_NAMES: [&str; 22] = [
    "Tongue",
    "Errand",
    "Wish",
    "Keepsake",
    "Purse",
    "Teller",
    "Skeleton",
    "Bones",
    "Birth",
    "Course",
    "Trail",
    "Pulse",
    "Crowd",
    "Board",
    "Standing",
    "Standings",
    "Tally",
    "House",
    "Visit",
    "furnish",
    "refurbish",
    "discreet",
];

/// Returns the first line of each doc comment.
fn doc_openings(text: &str) -> Vec<&str> {
    let mut openings = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim_start) {
        let doc = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"));
        if let Some(opening) = doc.filter(|_| !inside) {
            openings.push(opening.trim_start());
        }
        inside = doc.is_some();
    }
    openings
}

#[test]
fn doc_comments_begin_with_a_name_or_a_verb() {
    let mut found = Vec::new();
    for (path, text) in texts_below("src") {
        let riddles = doc_openings(&text)
            .into_iter()
            .filter(|opening| RIDDLES.iter().any(|riddle| opening.starts_with(riddle)));
        found.extend(riddles.map(|opening| format!("{}: {opening}", path.display())));
    }
    assert!(found.is_empty(), "name the thing:\n{}", found.join("\n"));
}

#[test]
fn old_names_are_gone() {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (path, text) in [texts_below("src"), texts_below("tests")].concat() {
        let words: BTreeSet<&str> = text.split(|c| !is_part(c)).collect();
        let old = OLD_NAMES.iter().filter(|name| words.contains(**name));
        // This list, and a trait of `syn`.
        if !path.ends_with("words.rs") && !path.starts_with("figures") {
            found.extend(old.map(|name| format!("{}: {name}", path.display())));
        }
    }
    assert!(
        found.is_empty(),
        "take the contract's word:\n{}",
        found.join("\n")
    );
}

#[test]
fn riddles_are_found() {
    let text = "//! A file.\n//! What it is.\n\n/// Who asks.\nfn f() {}\n    /// A name.\n";
    assert_eq!(doc_openings(text), ["A file.", "Who asks.", "A name."]);
}
