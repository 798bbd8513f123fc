//! Formats a number with a noun.

use std::fmt::Display;

/// Formats a number with a noun, in the plural unless it is 1: `1 stream`, `2 streams`.
pub fn pluralize(count: impl Display, noun: &str) -> String {
    let count = count.to_string();
    let end = if count == "1" { "" } else { "s" };
    format!("{count} {noun}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let texts = [0, 1, 2, 11].map(|count| pluralize(count, "stream"));
        assert_eq!(texts, ["0 streams", "1 stream", "2 streams", "11 streams"]);
    }
}
