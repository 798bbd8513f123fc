//! Checks the pages of the handbook about the code: the maps show the floor plan, and every file
//! and name in backticks exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{FLOORS, texts_below};

/// The pages whose code spans are checked.
const PAGES: [&str; 2] = ["docs/architecture.md", "docs/contributing.md"];

/// Minimum number of code spans that name a file, over both pages: fewer mean that the spans are no
/// longer recognised.
const MIN_PATHS: usize = 100;

/// The beginnings of the definition of a name in a file.
const DEFINITIONS: [&str; 7] = [
    "fn ", "struct ", "enum ", "trait ", "const ", "static ", "type ",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Returns the code spans of one line.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Returns the code spans outside of fenced blocks.
fn page_spans(page: &str) -> Vec<&str> {
    let mut fenced = false;
    page.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .flat_map(code_spans)
        .collect()
}

/// Returns floor and room of every row of the table with the column `floor`.
fn rooms_in_table(text: &str) -> BTreeSet<(usize, String)> {
    let mut rows = text
        .lines()
        .map(|line| line.trim_start_matches("//! "))
        .skip_while(|line| !line.starts_with("| floor |"));
    let table = rows.by_ref().take_while(|line| line.starts_with('|'));
    let mut rooms = BTreeSet::new();
    for line in table {
        let mut cells = line.split('|').skip(1);
        let floor = cells.next().and_then(|cell| cell.trim().parse().ok());
        if let (Some(floor), Some(names)) = (floor, cells.next()) {
            rooms.extend(code_spans(names).map(|room| (floor, room.to_owned())));
        }
    }
    rooms
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the path of a code span that names a file or a folder, and the names in it.
fn path_of(span: &str) -> Option<(&str, &str)> {
    let (path, names) = span.split_once(": ").unwrap_or((span, ""));
    let is_file = [".rs", ".md", ".toml"]
        .iter()
        .any(|end| path.ends_with(end));
    let is_below = path.contains('/') && !path.starts_with('/') && !path.starts_with("target/");
    ((is_file || is_below) && !path.contains(char::is_whitespace)).then_some((path, names))
}

/// Returns the file or folder with this path below the root or below `src`.
fn find(path: &str) -> Option<PathBuf> {
    let places = [root().join(path), root().join("src").join(path)];
    places.into_iter().find(|place| place.exists())
}

/// Returns true if the text defines this name.
fn defines(text: &str, name: &str) -> bool {
    DEFINITIONS.iter().any(|definition| {
        let wanted = format!("{definition}{name}");
        text.match_indices(&wanted)
            .any(|(at, _)| !text[at + wanted.len()..].starts_with(is_identifier))
    })
}

/// Returns what is wrong with a code span that names a file.
fn path_error(path: &str, names: &str) -> Option<String> {
    let Some(place) = find(path) else {
        return Some(format!("`{path}` does not exist"));
    };
    if names.is_empty() {
        return None;
    }
    let text = fs::read_to_string(place).unwrap();
    let missing = names.split(", ").find(|name| !defines(&text, name))?;
    Some(format!("`{path}` does not define `{missing}`"))
}

/// Returns all words of the code.
fn words() -> BTreeSet<String> {
    let mut texts: Vec<String> = ["src", "tests"]
        .into_iter()
        .flat_map(texts_below)
        .map(|(_, text)| text)
        .collect();
    texts.push(read("Cargo.toml"));
    texts
        .iter()
        .flat_map(|text| text.split(|c| !is_identifier(c)))
        .map(str::to_owned)
        .collect()
}

/// Returns what is wrong with a code span. Commands, headers and other text are not checked.
fn span_error(span: &str, words: &BTreeSet<String>) -> Option<String> {
    if let Some((path, names)) = path_of(span) {
        return path_error(path, names);
    }
    if !span.chars().all(|c| is_identifier(c) || c == ':') {
        return None;
    }
    let unknown = span
        .split("::")
        .find(|word| !word.is_empty() && !words.contains(*word))?;
    Some(format!("`{unknown}` is no word of the code"))
}

#[test]
fn the_maps_show_the_floor_plan() {
    let planned: BTreeSet<(usize, String)> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |room| (floor, (*room).to_owned())))
        .collect();
    for page in ["src/lib.rs", "docs/architecture.md"] {
        assert_eq!(rooms_in_table(&read(page)), planned, "{page}");
    }
}

#[test]
fn files_and_names_on_the_pages_exist() {
    let words = words();
    let mut paths = 0;
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = read(page);
        let spans = page_spans(&text);
        paths += spans.iter().filter(|span| path_of(span).is_some()).count();
        let errors = spans.iter().filter_map(|span| span_error(span, &words));
        wrong.extend(errors.map(|error| format!("{page}: {error}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(paths >= MIN_PATHS, "only {paths} code spans name a file");
}

#[test]
fn wrong_files_and_names_are_found() {
    let words = BTreeSet::from(["Reason".to_owned(), "Cancelled".to_owned()]);
    for wrong in [
        "hub/nowhere.rs",
        "hub/nowhere.rs: push",
        "hub/log.rs: pus",
        "hub/log.rs: push, nowhere",
        "nowhere",
        "Reason::Nowhere",
        "tests/nowhere/",
    ] {
        assert!(span_error(wrong, &words).is_some(), "{wrong}");
    }
    for right in [
        "hub/log.rs: push, Log",
        "tests/it/",
        "Cargo.toml",
        "Reason::Cancelled",
        "x-stream-id",
        "POST /v1/streams",
        "target/dist/sluicegate",
    ] {
        assert_eq!(span_error(right, &words), None);
    }
    let page = "a `b`\n```text\n`c`\n```\n`d` `e`\n";
    assert_eq!(page_spans(page), ["b", "d", "e"]);
    let table = "| 9 | `a` |\n\n| floor | rooms |\n|---|---|\n| 1 | `b` [`c`] |\n\n| 2 | `d` |\n";
    let rooms = [(1, "b".to_owned()), (1, "c".to_owned())];
    assert_eq!(rooms_in_table(table), BTreeSet::from(rooms));
}
