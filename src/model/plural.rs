//! How many of a thing, as it is said.

use std::fmt::Display;

/// `1 stream`, `2 streams`.
pub fn counted(count: impl Display, thing: &str) -> String {
    let count = count.to_string();
    let end = if count == "1" { "" } else { "s" };
    format!("{count} {thing}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let said = [0, 1, 2, 11].map(|count| counted(count, "stream"));
        assert_eq!(said, ["0 streams", "1 stream", "2 streams", "11 streams"]);
    }
}
