//! The page of the handbook about the configuration names every key under the heading of its
//! section, and says which keys are not supported yet.

use super::super::schema::{self, Key};

const PAGE: &str = include_str!("../../../docs/configuration.md");

/// The heading of a section that a message names otherwise.
const HEADINGS: [(&str, &str); 5] = [
    ("the top level of the file", "The top of the file"),
    ("limits", "One limit"),
    ("a target of a route", "A target of a route"),
    ("a budget", "One budget"),
    ("timeouts", "`timeouts`"),
];

/// Returns the text under the heading of `section`, up to the next heading of its level.
fn chapter(section: &str) -> &'static str {
    let named = HEADINGS.iter().find(|(name, _)| *name == section);
    let heading = named.map_or_else(|| format!("`{section}`"), |(_, heading)| (*heading).into());
    let start = format!("\n## {heading}\n");
    let (_, rest) = PAGE
        .split_once(&start)
        .unwrap_or_else(|| panic!("docs/configuration.md has no heading `## {heading}`"));
    rest.split_once("\n## ").map_or(rest, |(text, _)| text)
}

#[test]
fn every_key_stands_under_the_heading_of_its_section() {
    for (section, keys) in schema::SECTIONS {
        let text = chapter(section);
        for key in *keys {
            let name = key.name();
            assert!(
                text.contains(&format!("`{name}`")) || text.contains(&format!("`[{name}]`")),
                "docs/configuration.md: `{name}` is missing in the chapter of {section}"
            );
            let planned = matches!(key, Key::Planned { .. });
            assert!(
                !planned || text.contains("not built") || text.contains("not supported"),
                "docs/configuration.md: the chapter of {section} says nothing of planned keys"
            );
        }
    }
}
