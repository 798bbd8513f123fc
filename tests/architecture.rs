//! The floor plan as a law: imports point down, files stay small, and nothing is left half-done.
//!
//! Code under `#[cfg(test)]` is not looked at, nor are comments and strings.
#![expect(clippy::unwrap_used, reason = "a test that is surprised fails")]
#![expect(clippy::string_slice, reason = "places in a text are found in it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the ground up. A room may import from lower floors and from itself; rooms on one
/// floor do not know each other.
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

/// The most lines of a file, tests aside.
const MOST_LINES: usize = 490;

/// What is not left in the code: its text, and what to do instead.
const BANNED: [(&str, &str); 6] = [
    ("#[allow(", "#[expect(lint, reason)]"),
    ("#![allow(", "#![expect(lint, reason)]"),
    ("todo!(", "build it"),
    ("unimplemented!(", "build it"),
    ("#[ignore", "a test that runs"),
    ("unsafe ", "safe code"),
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// A source file, its comments, strings and tests blanked out.
struct Source {
    path: PathBuf,
    /// The modules it is, from the crate's root.
    modules: Vec<String>,
    code: String,
}

impl Source {
    fn of(path: &Path, text: &str) -> Self {
        let mut modules: Vec<String> = path
            .with_extension("")
            .iter()
            .map(|it| it.to_str().unwrap().to_owned())
            .collect();
        modules.retain(|it| it != "lib");
        Self {
            path: path.to_owned(),
            modules,
            code: without_tests(blanked(text)),
        }
    }

    fn room(&self) -> Option<&str> {
        self.modules.first().map(String::as_str)
    }

    /// The rooms it imports from, itself included.
    fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for start in ["crate::", "sluicegate::"] {
            for (at, _) in self.code.match_indices(start) {
                if !self.code[..at].ends_with(|before: char| {
                    before.is_alphanumeric() || before == '_' || before == ':'
                }) {
                    found.extend(heads(&self.code[at + start.len()..]));
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
                found.extend(heads(&self.code[at + climb.len()..]));
            }
        }
        found
    }

    /// What is against the law in it.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.bad_imports();
        let lines = self.code.trim_end().lines().count();
        if lines > MOST_LINES {
            faults.push(format!(
                "{lines} lines without tests: split it by meaning ({MOST_LINES} at most)"
            ));
        }
        if self.path.ends_with("mod.rs") {
            faults.push("modules are named by their own file, not `mod.rs`".into());
        }
        for (text, instead) in BANNED.iter().filter(|(text, _)| self.code.contains(text)) {
            faults.push(format!("`{text}` is not left in the code: {instead}"));
        }
        faults
            .into_iter()
            .map(|it| format!("{}: {it}", self.path.display()))
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
                .then(|| format!("`{to}` is imported, and is not in the floor plan")),
        };
        self.imports().iter().filter_map(bad).collect()
    }
}

/// The first names of a path or of a braced list of paths.
fn heads(rest: &str) -> Vec<String> {
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

/// The text with the insides of comments, strings and characters made blank. Lines stay lines; what
/// held nothing but a comment keeps one character, so that it counts.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = token(rest);
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

/// The length of the comment, string or character that `text` begins with; 0 where it begins with
/// none.
fn token(text: &str) -> usize {
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
        [b'"', ..] => quoted(text),
        [b'\'', b'\\', ..] => until(3, "'"),
        [b'\'', ..] => character(text),
        _ => 0,
    }
}

/// `'x'` is a character, `'x` a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(2);
    chars
        .next()
        .filter(|(_, c)| *c == '\'')
        .map_or(0, |(at, _)| at + 1)
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The code without the items that stand under `#[cfg(test)]`.
fn without_tests(mut code: String) -> String {
    const MARK: &str = "#[cfg(test)]";
    while let Some(at) = code.find(MARK) {
        let after = at + MARK.len();
        let end = item_end(&code[after..]).map_or(code.len(), |end| after + end);
        code.replace_range(at..end, "");
    }
    code
}

/// Where the item at the front of `code` ends: at its semicolon, or at the brace that closes it.
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

/// All source files by their path below `root`, but those that are modules of tests alone.
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
        .map(|(path, text)| Source::of(path, text))
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

/// The modules (as paths without ending) that a file declares under `#[cfg(test)]`.
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
    blanked(text)
        .split("#[cfg(test)]")
        .skip(1)
        .filter_map(declared)
        .collect()
}

#[test]
fn the_house_is_as_planned() {
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let rooms: BTreeSet<&str> = all.iter().filter_map(Source::room).collect();
    let planned: BTreeSet<&str> = FLOORS.iter().flat_map(|it| it.iter().copied()).collect();
    assert_eq!(
        rooms, planned,
        "the rooms that are there, and those of the floor plan"
    );
    let faults: Vec<String> = all.iter().flat_map(Source::faults).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What is found wrong with a text that stood in that file.
fn faults_of(path: &str, text: &str) -> Vec<String> {
    Source::of(Path::new(path), text).faults()
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
        assert_eq!(faults_of(path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn what_is_allowed_passes() {
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
        assert_eq!(faults_of(path, text), [] as [&str; 0], "{path}: {text}");
    }
}

#[test]
fn what_is_half_done_or_too_large_is_found() {
    for text in [
        "#[allow(dead_code)] fn f() {}",
        "fn f() { todo!() }",
        "fn f() { unimplemented!() }",
        "#[ignore] fn f() {}",
    ] {
        assert_eq!(faults_of("hub.rs", text).len(), 1, "{text}");
    }
    assert_eq!(faults_of("hub/mod.rs", "").len(), 1);
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(500)
    );
    assert_eq!(
        faults_of("hub.rs", &("fn f() {} // x\n".repeat(MOST_LINES) + &tests)),
        [] as [&str; 0]
    );
    assert_eq!(
        faults_of("hub.rs", &"// x\n".repeat(MOST_LINES + 1)).len(),
        1
    );
}

#[test]
fn modules_of_tests_alone_are_known() {
    let text = "mod log;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod scratch;\n#[cfg(test)]\nmod inline { fn f() {} }";
    assert_eq!(
        test_modules(Path::new("hub.rs"), text),
        [Path::new("hub/tests"), Path::new("hub/scratch")]
    );
}
