//! Enforces the floor plan: imports point down, files stay small, and nothing is left half-done.
//!
//! Code under `#[cfg(test)]`, comments and strings are ignored.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::string_slice, reason = "offsets into a text were found in it")]

#[path = "architecture/pages.rs"]
mod pages;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the ground up. A room may import from lower floors and from itself; rooms on the
/// same floor do not import each other.
const FLOORS: [&[&str]; 9] = [
    &["model", "codec"],
    &[
        "wire",
        "dialect",
        "hub",
        "route",
        "limits",
        "ledger",
        "auth",
        "telemetry",
    ],
    &["upstream"],
    &["gateway"],
    &["server"],
    &["config"],
    &["app"],
    &["cli"],
    &["main"],
];

/// Maximum number of lines of a file, tests excluded.
const MAX_LINES: usize = 490;

/// Text that must not be in the code, and what to do instead.
const BANNED: [(&str, &str); 6] = [
    ("#[allow(", "#[expect(lint, reason)]"),
    ("#![allow(", "#![expect(lint, reason)]"),
    ("todo!(", "build it"),
    ("unimplemented!(", "build it"),
    ("#[ignore", "a test that runs"),
    ("unsafe ", "safe code"),
];

/// Files outside the rooms `dialect` and `model` that choose a dialect, and so name one. All other
/// code reads the profile of the dialect that it is given.
const DIALECT_CHOSEN: [&str; 7] = [
    // The routing table, and the dialect of a path.
    "gateway/routes.rs",
    // Resources of one dialect.
    "gateway/conversation.rs",
    "gateway/responses.rs",
    // Parses `?dialect=`.
    "gateway/streams.rs",
    // The admin listener: errors in OpenAI's shape.
    "server/admin.rs",
    "server/edge.rs",
    // A probe's own request.
    "upstream/probe.rs",
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// A source file with comments, strings and tests blanked out.
struct Source {
    path: PathBuf,
    /// Its module path from the crate's root.
    modules: Vec<String>,
    code: String,
}

impl Source {
    fn new(path: &Path, text: &str) -> Self {
        let mut modules: Vec<String> = path
            .with_extension("")
            .iter()
            .map(|it| it.to_str().unwrap().to_owned())
            .collect();
        modules.retain(|it| it != "lib");
        Self {
            path: path.to_owned(),
            modules,
            code: without_tests(blank_out(text)),
        }
    }

    fn room(&self) -> Option<&str> {
        self.modules.first().map(String::as_str)
    }

    /// Returns the rooms it imports from, itself included.
    fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for start in ["crate::", "sluicegate::"] {
            for (at, _) in self.code.match_indices(start) {
                if !self.code[..at].ends_with(|before: char| {
                    before.is_alphanumeric() || before == '_' || before == ':'
                }) {
                    found.extend(first_names(&self.code[at + start.len()..]));
                }
            }
        }
        let climb = "super::".repeat(self.modules.len());
        for (at, _) in self
            .code
            .match_indices(&climb)
            .filter(|_| !climb.is_empty())
        {
            if !self.code[..at].ends_with("::") {
                found.extend(first_names(&self.code[at + climb.len()..]));
            }
        }
        found
    }

    /// Returns the violations in it.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.bad_imports();
        let lines = self.code.trim_end().lines().count();
        if lines > MAX_LINES {
            faults.push(format!(
                "{lines} lines without tests: split the file by meaning ({MAX_LINES} at most)"
            ));
        }
        if self.path.ends_with("mod.rs") {
            faults.push("modules are named by their own file, not `mod.rs`".into());
        }
        for (text, instead) in BANNED.iter().filter(|(text, _)| self.code.contains(text)) {
            faults.push(format!("`{text}` must not be in the code: {instead}"));
        }
        faults.extend(self.named_dialects());
        faults
            .into_iter()
            .map(|it| format!("{}: {it}", self.path.display()))
            .collect()
    }

    /// Returns the dialects that it names where none is chosen.
    fn named_dialects(&self) -> Vec<String> {
        let may_name = matches!(self.room(), Some("dialect" | "model"))
            || DIALECT_CHOSEN.iter().any(|file| self.path.ends_with(file));
        let after = self.code.split("DialectId::").skip(1);
        let names = after.map(|rest| first_names(rest).concat());
        names
            // A variant is in camel case; `ALL` and functions are not.
            .filter(|name| !may_name && name.starts_with(char::is_uppercase))
            .filter(|name| name.contains(char::is_lowercase))
            .map(|name| format!("`DialectId::{name}` is named: read the profile of the dialect"))
            .collect()
    }

    fn bad_imports(&self) -> Vec<String> {
        let Some(room) = self.room() else {
            return Vec::new();
        };
        let Some(own) = floor(room) else {
            return vec![format!(
                "the room `{room}` is not in the floor plan: give it a floor"
            )];
        };
        let bad = |to: &String| match floor(to) {
            _ if to == room => None,
            Some(theirs) if theirs < own => None,
            Some(theirs) => Some(format!(
                "`{room}` (floor {own}) imports `{to}` (floor {theirs}): imports point down"
            )),
            None => to
                .starts_with(char::is_lowercase)
                .then(|| format!("`{to}` is imported, but is not in the floor plan")),
        };
        self.imports().iter().filter_map(bad).collect()
    }
}

/// Returns the first names of a path or of a braced list of paths.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim()
            .chars()
            .take_while(|it| it.is_alphanumeric() || *it == '_')
            .collect::<String>()
    };
    let Some(list) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let mut depth = 0;
    let mut names = vec![name(list)];
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&list[at + 1..])),
            _ => {}
        }
    }
    names.retain(|it| !it.is_empty() && it != "self");
    names
}

/// Blanks out the contents of comments, strings and characters. Lines stay lines; a line with only
/// a comment keeps one character, so that it counts.
fn blank_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = literal_length(rest);
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        out.push('_');
        out.extend(rest[..length].matches('\n').map(|_| "\n_"));
        rest = &rest[length..];
    }
    out
}

/// Returns the length of the comment, string or character at the start of `text`; 0 if there is
/// none.
fn literal_length(text: &str) -> usize {
    let until = |from: usize, end: &str| {
        text[from..]
            .find(end)
            .map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until(2, "*/");
    }
    if let Some(raw) = text.strip_prefix('r').or_else(|| text.strip_prefix("br")) {
        let hashes = raw.bytes().take_while(|it| *it == b'#').count();
        if raw[hashes..].starts_with('"') {
            return until(
                text.len() - raw.len() + hashes + 1,
                &format!("\"{}", "#".repeat(hashes)),
            );
        }
    }
    match text.as_bytes() {
        [b'"', ..] => string_length(text),
        [b'\'', b'\\', ..] => until(3, "'"),
        [b'\'', ..] => character_length(text),
        _ => 0,
    }
}

/// `'x'` is a character, `'x` a lifetime.
fn character_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(2);
    chars
        .next()
        .filter(|(_, c)| *c == '\'')
        .map_or(0, |(at, _)| at + 1)
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Removes the items under `#[cfg(test)]`.
fn without_tests(mut code: String) -> String {
    const MARK: &str = "#[cfg(test)]";
    while let Some(at) = code.find(MARK) {
        let after = at + MARK.len();
        let end = item_end(&code[after..]).map_or(code.len(), |end| after + end);
        code.replace_range(at..end, "");
    }
    code
}

/// Returns where the item at the front of `code` ends: at its semicolon, or at its closing brace.
fn item_end(code: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return Some(at + 1),
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Returns all source files, with paths below `root`, except test-only modules.
fn sources(root: &Path) -> Vec<Source> {
    let mut texts = Vec::new();
    collect(root, root, &mut texts);
    let test_only: Vec<PathBuf> = texts
        .iter()
        .flat_map(|(path, text)| test_modules(path, text))
        .collect();
    let is_test = |path: &Path| {
        test_only
            .iter()
            .any(|test| path == test.with_extension("rs") || path.starts_with(test))
    };
    texts
        .iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| Source::new(path, text))
        .collect()
}

fn collect(root: &Path, folder: &Path, texts: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, texts);
        } else if path.extension().is_some_and(|it| it == "rs") {
            texts.push((
                path.strip_prefix(root).unwrap().to_owned(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

/// Returns the modules (as paths without extension) that a file declares under `#[cfg(test)]`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = if path.ends_with("lib.rs") || path.ends_with("main.rs") {
        PathBuf::new()
    } else {
        path.with_extension("")
    };
    let declared = |item: &str| {
        let name = item.split(';').next()?.split_once("mod ")?.1.trim();
        name.chars()
            .all(|it| it.is_alphanumeric() || it == '_')
            .then(|| folder.join(name))
    };
    blank_out(text)
        .split("#[cfg(test)]")
        .skip(1)
        .filter_map(declared)
        .collect()
}

#[test]
fn the_code_follows_the_floor_plan() {
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let rooms: BTreeSet<&str> = all.iter().filter_map(Source::room).collect();
    let planned: BTreeSet<&str> = FLOORS.iter().flat_map(|it| it.iter().copied()).collect();
    assert_eq!(
        rooms, planned,
        "the rooms in src, and those of the floor plan"
    );
    let faults: Vec<String> = all.iter().flat_map(Source::faults).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Returns the violations of a text as if it were in that file.
fn faults_in(path: &str, text: &str) -> Vec<String> {
    Source::new(Path::new(path), text).faults()
}

#[test]
fn upward_and_sideways_imports_are_found() {
    for (path, text) in [
        ("model/chat.rs", "use crate::wire::Draft;"),
        (
            "hub.rs",
            "use crate::{\n    model::ids::StreamId,\n    route::Plan,\n};",
        ),
        ("hub.rs", "use super::limits::Pass;"),
        (
            "hub/journal.rs",
            "fn f() { super::super::gateway::serve() }",
        ),
        ("gateway/serve.rs", "fn f() { crate::config::load() }"),
        ("codec.rs", "use crate::model::ids;"),
        ("app.rs", "use crate::cli::Cli;"),
        ("attic/box.rs", "use crate::model::ids;"),
    ] {
        assert_eq!(faults_in(path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn allowed_code_passes() {
    for (path, text) in [
        (
            "hub/journal.rs",
            "use super::reader::Reader; use crate::hub::log; use crate::model::{entry::Entry, ids};",
        ),
        (
            "config.rs",
            "use crate::{auth, gateway, server::{self, Listen}};",
        ),
        ("main.rs", "use sluicegate::{app, cli};"),
        (
            "hub.rs",
            "// use crate::route::Plan; #[allow(x)]\nconst A: &str = \"crate::route todo!() \\\" #[allow(\";",
        ),
        (
            "hub.rs",
            "const A: char = '\"'; const B: &str = r#\"crate::route \" \"#; fn f<'a>(x: &'a str) {}",
        ),
        (
            "hub.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::route::Plan;\n    fn f() { if true {} }\n}\n",
        ),
        ("hub.rs", "pub(crate) fn f() {}"),
    ] {
        assert_eq!(faults_in(path, text), [] as [&str; 0], "{path}: {text}");
    }
}

#[test]
fn dialects_named_outside_their_room_are_found() {
    let text = "fn f(it: DialectId) -> bool { it == DialectId::Ui }";
    assert_eq!(faults_in("gateway/answer.rs", text).len(), 1);
    assert_eq!(faults_in("hub/journal.rs", text).len(), 1);
    for path in ["dialect/ui.rs", "model/wire.rs", "gateway/routes.rs"] {
        assert_eq!(faults_in(path, text), [] as [&str; 0], "{path}");
    }
    let all = "fn f() { DialectId::ALL; DialectId::from_name(name); }";
    assert_eq!(faults_in("gateway/live.rs", all), [] as [&str; 0]);
    // No file stays in the list that no longer chooses one.
    for (path, text) in texts_below("src") {
        if DIALECT_CHOSEN.iter().any(|file| path.ends_with(file)) {
            let code = without_tests(blank_out(&text));
            assert!(code.contains("DialectId::"), "{}", path.display());
        }
    }
}

#[test]
fn unfinished_or_too_large_code_is_found() {
    for text in [
        "#[allow(dead_code)] fn f() {}",
        "fn f() { todo!() }",
        "fn f() { unimplemented!() }",
        "#[ignore] fn f() {}",
    ] {
        assert_eq!(faults_in("hub.rs", text).len(), 1, "{text}");
    }
    assert_eq!(faults_in("hub/mod.rs", "").len(), 1);
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(500)
    );
    assert_eq!(
        faults_in("hub.rs", &("fn f() {} // x\n".repeat(MAX_LINES) + &tests)),
        [] as [&str; 0]
    );
    assert_eq!(
        faults_in("hub.rs", &"// x\n".repeat(MAX_LINES + 1)).len(),
        1
    );
}

#[test]
fn test_only_modules_are_known() {
    let text = "mod log;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod scratch;\n#[cfg(test)]\nmod inline { fn f() {} }";
    assert_eq!(
        test_modules(Path::new("hub.rs"), text),
        [Path::new("hub/tests"), Path::new("hub/scratch")]
    );
}

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

/// Returns the path and text of every Rust file below `folder`.
fn texts_below(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut texts = Vec::new();
    collect(&root, &root, &mut texts);
    texts
}

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
        if !path.ends_with("architecture.rs") {
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
