//! The known providers as a table for people: in Markdown for the README, in rows for a terminal.

use std::fmt::Write as _;

use super::table::PRESETS;
use super::{Abort, Kind, Preset, Way};

const HEAD: [&str; 6] = ["preset", "wire", "address", "key", "an abort", "note"];

/// The table in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    put_row(&mut out, HEAD.iter().map(|head| (*head).to_owned()));
    put_row(&mut out, HEAD.iter().map(|_| "---".to_owned()));
    for preset in &PRESETS {
        let code = |text: &str| {
            if text.is_empty() {
                String::new()
            } else {
                format!("`{text}`")
            }
        };
        let wires: Vec<_> = preset
            .ways
            .iter()
            .map(|way| code(way.speaks.name()))
            .collect();
        let place = |(at, (address, wires)): (usize, (&str, Vec<&str>))| {
            if at == 0 {
                code(address)
            } else {
                format!("{} ({})", code(address), wires.join(", "))
            }
        };
        let places: Vec<_> = places(preset).into_iter().enumerate().map(place).collect();
        put_row(
            &mut out,
            [
                code(preset.name),
                wires.join(", "),
                places.join("<br>"),
                key(preset, &code),
                abort(preset).to_owned(),
                preset.note.to_owned(),
            ],
        );
    }
    out
}

/// The table in rows of plain cells, a row for every address; its head comes first.
#[must_use]
pub fn rows() -> Vec<[String; 6]> {
    let plain = |text: &str| text.to_owned();
    let mut rows = vec![HEAD.map(str::to_uppercase)];
    for preset in &PRESETS {
        for (at, (address, wires)) in places(preset).into_iter().enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            rows.push([
                first(preset.name.to_owned()),
                wires.join(", "),
                address.to_owned(),
                first(key(preset, &plain)),
                first(abort(preset).to_owned()),
                first(preset.note.replace('`', "")),
            ]);
        }
    }
    rows
}

/// Each address with the wires spoken there.
fn places(preset: &Preset) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut places: Vec<(&'static str, Vec<&'static str>)> = Vec::new();
    for Way {
        speaks, address, ..
    } in preset.ways
    {
        match places.iter_mut().find(|(known, _)| known == address) {
            Some((_, wires)) => wires.push(speaks.name()),
            None => places.push((address, vec![speaks.name()])),
        }
    }
    places
}

fn key(preset: &Preset, code: &dyn Fn(&str) -> String) -> String {
    let variable = code(preset.variable);
    match preset.kind {
        Kind::Keyed => variable,
        Kind::Local => format!("{variable}, if it wants one"),
        Kind::Azure | Kind::Bedrock | Kind::Vertex => format!("{variable}, or see note"),
        Kind::Replay => "none".to_owned(),
    }
}

const fn abort(preset: &Preset) -> &'static str {
    match preset.abort {
        Abort::Stops => "stops the bill",
        Abort::GoesOn => "is billed whole",
        Abort::Depends => "depends",
        Abort::Unknown => "not known",
        Abort::Free => "costs nothing",
    }
}

fn put_row(out: &mut String, cells: impl IntoIterator<Item = String>) {
    for cell in cells {
        let written = write!(out, "| {cell} ");
        debug_assert!(written.is_ok(), "a string takes what is written to it");
    }
    out.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- providers: begin -->\n";
    const END: &str = "<!-- providers: end -->";

    #[test]
    fn the_readme_has_this_table() {
        let readme = include_str!("../../../README.md");
        let (_, rest) = readme
            .split_once(BEGIN)
            .expect("the README marks where the table begins");
        let (table, _) = rest
            .split_once(END)
            .expect("the README marks where the table ends");
        assert_eq!(
            table.trim(),
            markdown().trim(),
            "take what `sluicegate providers --markdown` prints"
        );
    }

    #[test]
    fn every_preset_has_its_row() {
        let (markdown, rows) = (markdown(), rows());
        assert_eq!(markdown.lines().count(), PRESETS.len() + 2);
        for preset in &PRESETS {
            assert!(
                markdown.contains(&format!("| `{}` |", preset.name)),
                "{}",
                preset.name
            );
            assert!(
                rows.iter().any(|row| row[0] == preset.name),
                "{}",
                preset.name
            );
        }
        assert!(rows.iter().flatten().all(|cell| !cell.contains('`')));
    }

    #[test]
    fn a_second_address_says_whose_it_is() {
        let markdown = markdown();
        assert!(markdown.contains("`http://127.0.0.1:11434`<br>`http://127.0.0.1:11434/v1` (openai-chat, openai-responses, anthropic)"));
    }
}
