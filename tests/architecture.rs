//! Enforces the floor plan: imports point down and not in circles, files stay small, and nothing is
//! left half-done.
//!
//! Code under `#[cfg(test)]`, comments and strings are ignored.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::string_slice, reason = "offsets into a text were found in it")]
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/code.rs"]
mod code;
#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/pages.rs"]
mod pages;
#[path = "architecture/wires.rs"]
mod wires;
#[path = "architecture/words.rs"]
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

use code::Source;
use imports::Paths;

/// The rooms, from the ground up. A room may import from lower floors and from itself; rooms on the
/// same floor do not import each other.
const FLOORS: [&[&str]; 9] = [
    &["model", "codec", "cache"],
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

/// Import circles that are not undone yet. An entry covers a circle of these files or of some of
/// them; an entry without a circle has to go.
const CIRCLES_LEFT: &[&str] = &[];

/// Maximum number of lines of a file, tests excluded.
const MAX_LINES: usize = 490;

/// Macros and attributes that must not be in the code, and what to do instead.
const BANNED: [(&str, &str); 4] = [
    ("#[allow]", "#[expect(lint, reason)]"),
    ("#[ignore]", "a test that runs"),
    ("todo!", "build it"),
    ("unimplemented!", "build it"),
];

/// Files outside the rooms `dialect` and `model` that choose a dialect, and so name one. All other
/// code reads the profile of the dialect that it is given.
const DIALECT_CHOSEN: [&str; 2] = [
    // Resources of one dialect.
    "gateway/responses.rs",
    // A probe's own request.
    "upstream/probe.rs",
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Returns the violations in a file.
fn faults(source: &Source) -> Vec<String> {
    let paths = Paths::new(source);
    let mut faults = bad_imports(source, &paths);
    let lines = source.lines.len();
    if lines > MAX_LINES {
        faults.push(format!(
            "{lines} lines without tests: split the file by meaning ({MAX_LINES} at most)"
        ));
    }
    if source.path.ends_with("mod.rs") {
        faults.push("modules are named by their own file, not `mod.rs`".into());
    }
    let marked = marked(source.tokens.clone());
    for (text, instead) in BANNED.iter().filter(|(text, _)| marked.contains(*text)) {
        faults.push(format!("`{text}` must not be in the code: {instead}"));
    }
    if !may_name_dialects(source) {
        faults.extend(
            named_dialects(&paths).map(|name| {
                format!("`DialectId::{name}` is named: read the profile of the dialect")
            }),
        );
    }
    let located = |it| format!("{}: {it}", source.path.display());
    faults.into_iter().map(located).collect()
}

/// Returns the macros and the attributes in the code, as `name!` and `#[name]`.
fn marked(tokens: TokenStream) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut before = [String::new(), String::new()];
    for token in tokens {
        let mut text = String::new();
        match &token {
            TokenTree::Group(group) => {
                let first = group.stream().into_iter().next();
                if before[1] == "#" || (before[0] == "#" && before[1] == "!") {
                    found.extend(first.map(|it| format!("#[{it}]")));
                }
                found.extend(marked(group.stream()));
            }
            other => text = other.to_string(),
        }
        if text == "!" {
            found.insert(format!("{}!", before[1]));
        }
        before = [std::mem::take(&mut before[1]), text];
    }
    found
}

fn may_name_dialects(source: &Source) -> bool {
    matches!(source.room(), Some("dialect" | "model"))
        || DIALECT_CHOSEN
            .iter()
            .any(|file| source.path.ends_with(file))
}

/// Returns the dialects that are named.
fn named_dialects(paths: &Paths) -> impl Iterator<Item = &str> {
    // A variant is in camel case; `ALL` and functions are not.
    let is_variant =
        |it: &str| it.starts_with(char::is_uppercase) && it.contains(char::is_lowercase);
    let pairs = paths.named.iter().flat_map(|path| path.windows(2));
    pairs
        .filter(move |it| it[0] == "DialectId" && is_variant(&it[1]))
        .map(|it| it[1].as_str())
}

fn bad_imports(source: &Source, paths: &Paths) -> Vec<String> {
    let Some(room) = source.room() else {
        return Vec::new();
    };
    let Some(own) = floor(room) else {
        return vec![format!(
            "the room `{room}` is not in the floor plan: give it a floor"
        )];
    };
    let bad = |to: &str| match floor(to) {
        _ if to == room => None,
        Some(theirs) if theirs < own => None,
        Some(theirs) => Some(format!(
            "`{room}` (floor {own}) imports `{to}` (floor {theirs}): imports point down"
        )),
        None => to
            .starts_with(char::is_lowercase)
            .then(|| format!("`{to}` is imported, but is not in the floor plan")),
    };
    let ours = paths.named.iter().filter(|it| it[0] == "crate");
    let rooms: BTreeSet<&str> = ours.filter_map(|it| Some(it.get(1)?.as_str())).collect();
    rooms.into_iter().filter_map(bad).collect()
}

/// Returns the circles that no entry of `left` covers, and the entries that cover none.
fn circle_faults(sources: &[Source], left: &[&str]) -> Vec<String> {
    let circles = circles::circles(sources);
    let covers = |entry: &str, circle: &[String]| {
        let files: Vec<&str> = entry.split(' ').collect();
        circle.iter().all(|file| files.contains(&file.as_str()))
    };
    let new = circles
        .iter()
        .filter(|it| !left.iter().any(|entry| covers(entry, it)));
    let new = new.map(|it| {
        let imports = circles::imports_within(sources, it).join("\n  ");
        format!("import each other in a circle:\n  {imports}")
    });
    let old = left
        .iter()
        .filter(|entry| !circles.iter().any(|it| covers(entry, it)));
    let old = old.map(|it| format!("no longer a circle, remove it from CIRCLES_LEFT: {it}"));
    new.chain(old).collect()
}

fn own_sources() -> Vec<Source> {
    code::sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// Returns the path and text of every Rust file below `folder`.
fn texts_below(folder: &str) -> Vec<(PathBuf, String)> {
    code::texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

#[test]
fn the_code_follows_the_floor_plan() {
    let all = own_sources();
    let rooms: BTreeSet<&str> = all.iter().filter_map(Source::room).collect();
    let planned: BTreeSet<&str> = FLOORS.iter().flat_map(|it| it.iter().copied()).collect();
    assert_eq!(
        rooms, planned,
        "the rooms in src, and those of the floor plan"
    );
    let faults: Vec<String> = all.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    // No file stays in the list that no longer chooses a dialect.
    for file in DIALECT_CHOSEN {
        let source = all.iter().find(|it| it.path.ends_with(file)).unwrap();
        assert_ne!(named_dialects(&Paths::new(source)).count(), 0, "{file}");
    }
}

#[test]
fn files_of_a_room_do_not_import_each_other_in_circles() {
    let faults = circle_faults(&own_sources(), CIRCLES_LEFT);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Returns the violations of a text as if it were in that file.
fn faults_in(path: &str, text: &str) -> Vec<String> {
    faults(&Source::new(Path::new(path), text))
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
    for path in ["dialect/ui.rs", "model/wire.rs", "gateway/responses.rs"] {
        assert_eq!(faults_in(path, text), [] as [&str; 0], "{path}");
    }
    let all = "fn f() { DialectId::ALL; DialectId::from_name(name); }";
    assert_eq!(faults_in("gateway/live.rs", all), [] as [&str; 0]);
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
        Source::new(Path::new("hub.rs"), text).test_modules,
        [Path::new("hub/tests"), Path::new("hub/scratch")]
    );
}

#[test]
fn circles_are_found() {
    let sources: Vec<Source> = [
        (
            "hub.rs",
            "mod log; mod reader; mod claim; pub use log::Log; use reader::Reader;",
        ),
        (
            "hub/log.rs",
            "use super::reader; fn f() { reader::read(); }",
        ),
        ("hub/reader.rs", "use super::{Hub, claim::Claim};"),
        // Through the import of the parent, and in a macro.
        ("hub/claim.rs", "fn f() { write!(to, super::Log::new()) }"),
        // A parent and its child are no circle.
        ("hub/log/run.rs", "use super::Log;"),
        ("route.rs", "mod health; pub use health::Health;"),
        ("route/health.rs", "use super::Route;"),
        ("route/plan.rs", "use crate::route::health::Health;"),
    ]
    .map(|(path, text)| Source::new(Path::new(path), text))
    .into();
    let circle = ["hub/claim", "hub/log", "hub/reader"];
    assert_eq!(circles::circles(&sources), [circle]);
    assert_eq!(circle_faults(&sources, &[]).len(), 1);
    let covered = "hub/claim hub/log hub/reader hub/stream";
    assert_eq!(circle_faults(&sources, &[covered]), [] as [&str; 0]);
    assert_eq!(
        circle_faults(&sources, &[covered, "route/health route/plan"]).len(),
        1
    );
}
