//! Suggestions for misspelt names.

/// Returns the one of `names` with the smallest edit distance to `wrong`, if it is close enough to
/// be a misspelling.
pub(super) fn nearest<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    // A long text is not a misspelt name, and the distance costs the product of both lengths.
    const MAX_LENGTH: usize = 64;
    if wrong.len() > MAX_LENGTH {
        return None;
    }
    let lower = wrong.to_lowercase();
    let short_enough = |name: &&str| name.len() <= MAX_LENGTH;
    let candidates = names.into_iter().filter(short_enough).map(|name| {
        (
            strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
            name,
        )
    });
    let (distance, name) = candidates.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.chars().count() / 4 && distance < name.chars().count()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["listen", "drain", "max_body"];
        for (wrong, expected) in [
            ("lisetn", Some("listen")),
            ("Listen", Some("listen")),
            ("maxbody", Some("max_body")),
            ("drian", Some("drain")),
            ("provider", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, names), expected, "{wrong}");
        }
        assert_eq!(nearest(&"listen".repeat(20), names), None);
    }
}
