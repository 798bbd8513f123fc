//! What the dependencies may be: licences, sources and bans, as `.deny.toml` says.
//!
//! `cargo deny` reads the same file and does more; this runs everywhere, without it.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test of files of ours: what is not as expected ends it"
)]

use std::process::Command;

use serde_json::Value;

/// What `cargo` knows of every package in the lock file.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    match metadata["packages"].take() {
        Value::Array(list) if !list.is_empty() => list,
        other => panic!("no packages but {other}"),
    }
}

fn policy() -> toml::Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.deny.toml");
    std::fs::read_to_string(path)
        .expect(".deny.toml is there")
        .parse()
        .expect(".deny.toml is TOML")
}

fn words(policy: &toml::Table, section: &str, key: &str) -> Vec<String> {
    let list = policy[section][key].as_array().expect("a list");
    let word = |it: &toml::Value| {
        it.get("crate")
            .unwrap_or(it)
            .as_str()
            .expect("a name")
            .to_owned()
    };
    list.iter().map(word).collect()
}

/// Whether an SPDX expression can be met with these licences: one side of an `OR`, both of an
/// `AND`.
fn met(expression: &str, allowed: &[String]) -> bool {
    let bare = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let alternatives = bare.split(" OR ").map(|all| {
        all.split(" AND ")
            .all(|one| allowed.iter().any(|it| it == one.trim()))
    });
    // `(A OR B) AND C` loses its brackets: then each alternative must be met by itself.
    if expression.contains('(') && expression.contains(" AND ") {
        bare.split(" AND ").all(|part| {
            part.split(" OR ")
                .any(|one| allowed.iter().any(|it| it == one.trim()))
        })
    } else {
        alternatives.into_iter().any(|met| met)
    }
}

#[test]
fn every_licence_is_allowed() {
    let allowed = words(&policy(), "licenses", "allow");
    let bad: Vec<_> = packages()
        .iter()
        .filter(|package| {
            !package["license"]
                .as_str()
                .is_some_and(|licence| met(licence, &allowed))
        })
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn everything_comes_from_the_registry_and_nothing_is_banned() {
    let banned = words(&policy(), "bans", "deny");
    for package in packages() {
        let (name, source) = (
            package["name"].as_str().expect("a name"),
            package["source"].as_str(),
        );
        assert!(
            name == "sluicegate" || source.is_some_and(|it| it.starts_with("registry+")),
            "{name} comes from {source:?}"
        );
        assert!(
            !banned.iter().any(|it| it == name),
            "{name} is banned: see .deny.toml"
        );
    }
}

#[test]
fn expressions_are_read() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("ISC AND (GPL-3.0 OR MIT)", true),
        ("(GPL-3.0 OR BSD-3-Clause) AND MIT", false),
    ] {
        assert_eq!(met(expression, &allowed), expected, "{expression}");
    }
}
