//! The presets as a table for readers: Markdown for the documentation, rows for a terminal.

use std::fmt::Write as _;

use super::table::PRESETS;
use super::{AbortBilling, Endpoint, Kind, Preset};

const HEADER: [&str; 6] = [
    "preset",
    "wire",
    "address",
    "key",
    "aborted requests",
    "note",
];

/// Returns the table in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    push_row(&mut out, HEADER.iter().map(|head| (*head).to_owned()));
    push_row(&mut out, HEADER.iter().map(|_| "---".to_owned()));
    for preset in &PRESETS {
        let wires: Vec<_> = preset
            .endpoints
            .iter()
            .map(|endpoint| code(endpoint.protocol.name()))
            .collect();
        push_row(
            &mut out,
            [
                code(preset.name),
                wires.join(", "),
                address_cell(preset),
                key_cell(preset, &code),
                abort_billing(preset).to_owned(),
                preset.note.to_owned(),
            ],
        );
    }
    out
}

fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}

/// Returns the addresses of a preset, all but the first with their wires.
fn address_cell(preset: &Preset) -> String {
    let cell = |(at, (address, wires)): (usize, (&str, Vec<&str>))| {
        if at == 0 {
            code(address)
        } else {
            format!("{} ({})", code(address), wires.join(", "))
        }
    };
    let cells: Vec<_> = addresses(preset)
        .into_iter()
        .enumerate()
        .map(cell)
        .collect();
    cells.join("<br>")
}

/// Returns the table as rows of plain cells: a header row, then one row for every address.
#[must_use]
pub fn rows() -> Vec<[String; 6]> {
    let plain = |text: &str| text.to_owned();
    let mut rows = vec![HEADER.map(str::to_uppercase)];
    for preset in &PRESETS {
        for (at, (address, wires)) in addresses(preset).into_iter().enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            rows.push([
                first(preset.name.to_owned()),
                wires.join(", "),
                address.to_owned(),
                first(key_cell(preset, &plain)),
                first(abort_billing(preset).to_owned()),
                first(preset.note.replace('`', "")),
            ]);
        }
    }
    rows
}

/// Returns each address of a preset with the wires available there.
fn addresses(preset: &Preset) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut addresses: Vec<(&'static str, Vec<&'static str>)> = Vec::new();
    for Endpoint {
        protocol, address, ..
    } in preset.endpoints
    {
        match addresses.iter_mut().find(|(known, _)| known == address) {
            Some((_, wires)) => wires.push(protocol.name()),
            None => addresses.push((address, vec![protocol.name()])),
        }
    }
    addresses
}

fn key_cell(preset: &Preset, code: &dyn Fn(&str) -> String) -> String {
    let key_variable = code(preset.key_variable);
    match preset.kind {
        Kind::Keyed => key_variable,
        Kind::Local => format!("{key_variable} (optional)"),
        Kind::Azure | Kind::Bedrock | Kind::Vertex => format!("{key_variable}, or see note"),
        Kind::Replay => "none".to_owned(),
    }
}

const fn abort_billing(preset: &Preset) -> &'static str {
    match preset.abort_billing {
        AbortBilling::Partial => "billed until the abort",
        AbortBilling::Whole => "billed in full",
        AbortBilling::Depends => "depends",
        AbortBilling::Unknown => "unknown",
        AbortBilling::Free => "free",
    }
}

fn push_row(out: &mut String, cells: impl IntoIterator<Item = String>) {
    for cell in cells {
        let written = write!(out, "| {cell} ");
        debug_assert!(written.is_ok(), "writing to a string succeeds");
    }
    out.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- providers: begin -->\n";
    const END: &str = "<!-- providers: end -->";

    #[test]
    fn the_documentation_contains_the_table() {
        let page = include_str!("../../../docs/providers.md");
        let (_, rest) = page
            .split_once(BEGIN)
            .expect("docs/providers.md marks the beginning of the table");
        let (table, _) = rest
            .split_once(END)
            .expect("docs/providers.md marks the end of the table");
        assert_eq!(
            table.trim(),
            markdown().trim(),
            "copy the output of `sluicegate providers --markdown`"
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
    fn a_second_address_names_its_wires() {
        let markdown = markdown();
        assert!(markdown.contains("`http://127.0.0.1:11434`<br>`http://127.0.0.1:11434/v1` (openai-chat, openai-responses, anthropic)"));
    }
}
