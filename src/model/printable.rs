//! Texts from clients, cut and filtered so that an error message may repeat them.

/// Maximum number of characters of a name that a message repeats.
const MAX_NAME: usize = 100;

/// Returns the visible ASCII characters of an id or a path, at most `max`.
#[must_use]
pub fn printable_id(id: &str, max: usize) -> String {
    id.chars()
        .filter(char::is_ascii_graphic)
        .take(max)
        .collect()
}

/// Returns the characters of a model's name, at most 100, without control characters. Operators
/// choose these names, so they may contain spaces and letters of any script.
#[must_use]
pub fn printable_name(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_filtered_before_they_are_cut() {
        assert_eq!(printable_id("\u{1b}a b\u{e9}cd", 3), "abc");
        assert_eq!(printable_name("a\u{1b} \u{e9}\n"), "a \u{e9}");
        assert_eq!(
            printable_name(&"\n\u{e9}".repeat(150)),
            "\u{e9}".repeat(100)
        );
    }
}
