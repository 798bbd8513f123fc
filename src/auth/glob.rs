//! Globs over model names: `*` matches any run of characters, every other character matches itself.

/// True if `glob` matches the whole of `text`.
#[must_use]
pub fn matches(glob: &str, text: &str) -> bool {
    let mut pieces = glob.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    // The first match of each piece is enough: a later one would leave less text for the pieces
    // that follow.
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, tail)) => rest = tail,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_match_any_characters() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("*", "gpt-5", true),
            ("gpt-*", "gpt-5", true),
            ("gpt-*", "xgpt-5", false),
            ("*-mini", "gpt-5-mini", true),
            ("*-mini", "gpt-5-mini-x", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("ab*ba", "aba", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} over {text}");
        }
    }
}
