//! Checks the dependencies: licences, sources and bans, as `.deny.toml` configures them.
//!
//! `cargo deny` reads the same file and checks more; this test runs everywhere, without it.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test of our own files fails by panicking"
)]

use std::process::Command;

use serde_json::Value;

/// Returns `cargo metadata` for every package in the lock file.
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
        other => panic!("expected a list of packages, found {other}"),
    }
}

fn policy() -> toml::Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.deny.toml");
    std::fs::read_to_string(path)
        .expect(".deny.toml is there")
        .parse()
        .expect(".deny.toml is TOML")
}

fn names(policy: &toml::Table, section: &str, key: &str) -> Vec<String> {
    let list = policy[section][key].as_array().expect("a list");
    let name = |it: &toml::Value| {
        it.get("crate")
            .unwrap_or(it)
            .as_str()
            .expect("a name")
            .to_owned()
    };
    list.iter().map(name).collect()
}

/// Returns true if these licences satisfy an SPDX expression: one side of an `OR`, both of an
/// `AND`.
fn is_satisfied(expression: &str, allowed: &[String]) -> bool {
    let bare = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let alternatives = bare.split(" OR ").map(|all| {
        all.split(" AND ")
            .all(|one| allowed.iter().any(|it| it == one.trim()))
    });
    // `(A OR B) AND C` has lost its brackets here: every part of the `AND` must be satisfied by
    // itself.
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
    let allowed = names(&policy(), "licenses", "allow");
    let bad: Vec<_> = packages()
        .iter()
        .filter(|package| {
            !package["license"]
                .as_str()
                .is_some_and(|licence| is_satisfied(licence, &allowed))
        })
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn everything_comes_from_the_registry_and_nothing_is_banned() {
    let banned = names(&policy(), "bans", "deny");
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
fn licence_expressions_are_evaluated() {
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
        assert_eq!(is_satisfied(expression, &allowed), expected, "{expression}");
    }
}
