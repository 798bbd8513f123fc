//! Finds the parts of a configuration file that could be secrets.
//!
//! Invariants: masked by default. A value is displayed only if a reader has published it, or if it
//! only references the place of its secret (`"${NAME}"`). On lines that are not TOML, where values
//! cannot be assigned to keys, only words of the configuration schema are displayed.

use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::schema::{ALGORITHMS, FORMATS, MODES, ON_CANCEL, ON_EXCEEDED, SECTIONS, WIRES};
use super::{interpolate, presets};

/// The text displayed in place of a masked value.
pub(super) const MASK: &str = "***";

/// Maximum number of digits of a number that is displayed; a longer one could be a secret.
const MAX_DIGITS: usize = 6;

/// Collects the spans of all values in `value` that could be secrets.
pub(super) fn secret_values(value: &Spanned<DeValue<'_>>, out: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Boolean(_) => {}
        DeValue::String(text) if interpolate::is_reference(text) => {}
        DeValue::Array(list) => list.iter().for_each(|value| secret_values(value, out)),
        DeValue::Table(table) => table
            .iter()
            .for_each(|(_, value)| secret_values(value, out)),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
            out.push(value.span());
        }
    }
}

/// Returns the spans in a line that is not TOML that could be parts of secrets.
pub(super) fn secret_words(text: &str, line: Range<usize>) -> Vec<Range<usize>> {
    let content = text.get(line.clone()).unwrap_or_default();
    // A section header contains no values.
    if is_header(content) {
        return Vec::new();
    }
    // The key before the first `=` is displayed, even if it is not a known one.
    let from = content
        .split_once('=')
        .filter(|(key, _)| is_key(key))
        .map_or(0, |(key, _)| key.len() + 1);
    words(content, from)
        .filter(|word| !is_public(content, word))
        .map(|word| line.start + word.start..line.start + word.end)
        .collect()
}

/// True for `[section` or `[[section`, also without closing brackets.
fn is_header(content: &str) -> bool {
    let name = content.trim().trim_start_matches('[').trim_end_matches(']');
    // A longer text in brackets could be a secret in a list.
    content.trim_start().starts_with('[') && is_key(name) && name.len() < 64
}

fn is_key(text: &str) -> bool {
    text.trim()
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn words(content: &str, from: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = from;
    std::iter::from_fn(move || {
        let rest = content.get(at..)?;
        let start = at + rest.find(|c| !is_gap(c))?;
        let rest = content.get(start..)?;
        at = start + rest.find(is_gap).unwrap_or(rest.len());
        Some(start..at)
    })
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || matches!(c, '=' | ',' | '"' | '\'' | '{' | '}' | '[' | ']' | '#')
}

fn is_public(content: &str, word: &Range<usize>) -> bool {
    let word = content.get(word.clone()).unwrap_or_default();
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let unit = word.get(digits..).unwrap_or_default();
    let number = digits > 0
        && digits <= MAX_DIGITS
        && matches!(
            unit,
            "" | "ms" | "s" | "m" | "h" | "d" | "B" | "KiB" | "MiB" | "GiB"
        );
    number || is_known_word(word) || word.parse::<SocketAddr>().is_ok()
}

/// True if `word` is a word of the schema, so that it is not a secret.
fn is_known_word(word: &str) -> bool {
    const OTHER_WORDS: [&str; 14] = [
        "true",
        "false",
        "cancel",
        "continue",
        "grace",
        "info",
        "debug",
        "warn",
        "error",
        "trace",
        "off",
        "localhost",
        "unix",
        "p95",
    ];
    let words = [MODES, ALGORITHMS, ON_EXCEEDED, ON_CANCEL, WIRES, FORMATS];
    OTHER_WORDS.contains(&word)
        || SECTIONS
            .iter()
            .flat_map(|(_, keys)| *keys)
            .any(|key| key.name() == word)
        || words.into_iter().flatten().any(|known| *known == word)
        || presets::NAMES.contains(&word)
}

/// True if a URL contains user information (`user:password@`) before its host.
pub(super) fn has_credentials(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| {
        rest.split(['/', '?', '#'])
            .next()
            .is_some_and(|authority| authority.contains('@'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut shown = text.to_owned();
        for place in secret_words(text, 0..text.len()).into_iter().rev() {
            shown.replace_range(place, "*");
        }
        shown
    }

    #[test]
    fn lines_that_are_not_toml_display_only_schema_words() {
        for (text, expected) in [
            ("mode = none", "mode = none"),
            ("api_key = sk-abc", "api_key = *"),
            ("api_key = \"sk-abc=", "api_key = \"*="),
            ("api_key \"sk-abc\"", "api_key \"*\""),
            ("api_key \"sk=abc\"", "api_key \"*=*\""),
            ("secret = \"one two", "secret = \"* *"),
            ("heartbeat = 15s", "heartbeat = 15s"),
            ("listen = 127.0.0.1:8484", "listen = 127.0.0.1:8484"),
            ("[providers.mine", "[providers.mine"),
            ("[\"sk-abc\",", "[\"*\","),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn a_bare_reference_is_not_masked() {
        let text =
            "a = \"${KEY}\"\nb = \"x${KEY}\"\nc = [12]\nd = true\ne = \"${KEY:-sk-default}\"";
        let table = toml::de::DeTable::parse(text).unwrap();
        let mut places = Vec::new();
        table
            .get_ref()
            .iter()
            .for_each(|(_, value)| secret_values(value, &mut places));
        let hidden: Vec<_> = places
            .into_iter()
            .map(|place| text.get(place).unwrap())
            .collect();
        assert_eq!(hidden, ["\"x${KEY}\"", "12", "\"${KEY:-sk-default}\""]);
    }
}
