//! Every wire has the same five files with the same functions; sub-files stand below them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::code;

/// The wires, one folder each. A new wire is a line here.
const WIRES: [&str; 7] = [
    "anthropic",
    "bedrock",
    "cohere",
    "gemini",
    "ollama",
    "openai_chat",
    "openai_responses",
];

/// The files of a wire, with the items that each defines, itself or in a file below it.
const FILES: [(&str, &[&str]); 5] = [
    ("ask", &["fn draft("]),
    ("turns", &["fn write"]),
    (
        "frames",
        &[
            "struct Decoder",
            "fn new(",
            "fn decode(",
            "fn finish(",
            "fn read_usage",
            "fn read_whole(",
        ],
    ),
    ("shape", &[]),
    ("refusal", &["fn read("]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire")
}

/// Returns the names of the files and folders of `folder`, without extension.
fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Returns what a wire lacks, and what it has besides.
fn shape_errors(wire: &str, folder: &Path) -> Vec<String> {
    let wanted: BTreeSet<String> = FILES.iter().map(|(file, _)| (*file).to_owned()).collect();
    let found = names_in(folder);
    let missing = wanted
        .difference(&found)
        .map(|it| format!("{wire}/{it}.rs is missing"));
    let foreign = found.difference(&wanted).map(|it| {
        format!("{wire}/{it} is none of the files of a wire: put it below one of them, or into kit")
    });
    let mut errors: Vec<String> = missing.chain(foreign).collect();
    errors.extend(
        FILES
            .iter()
            .flat_map(|(file, items)| missing_items(wire, folder, file, items)),
    );
    errors
}

/// Returns the items that neither the file nor a file below it defines.
fn missing_items(wire: &str, folder: &Path, file: &str, items: &[&str]) -> Vec<String> {
    let mut text = fs::read_to_string(folder.join(file).with_extension("rs")).unwrap_or_default();
    if folder.join(file).is_dir() {
        text.extend(
            code::texts(&folder.join(file))
                .into_iter()
                .map(|(_, text)| text),
        );
    }
    let missing = items.iter().filter(|item| !text.contains(**item));
    missing
        .map(|item| format!("{wire}/{file}.rs does not define `{item}`"))
        .collect()
}

#[test]
fn every_wire_has_the_same_files_and_functions() {
    let folders: BTreeSet<String> = names_in(&folder())
        .into_iter()
        .filter(|name| folder().join(name).is_dir() && name != "kit")
        .collect();
    let listed: BTreeSet<String> = WIRES.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(folders, listed, "the folders of src/wire, and WIRES");
    let errors: Vec<String> = WIRES
        .iter()
        .flat_map(|wire| shape_errors(wire, &folder().join(wire)))
        .collect();
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}

#[test]
fn a_wire_of_another_shape_is_found() {
    // The kit has other files and none of the functions of a wire.
    let errors = shape_errors("kit", &folder().join("kit"));
    assert!(errors.iter().any(|it| it.contains("kit/ask.rs is missing")));
    assert!(errors.iter().any(|it| it.contains("kit/gate is none of")));
    assert!(errors.iter().any(|it| it.contains("`fn draft(`")));
}
