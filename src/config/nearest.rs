//! The name that somebody probably meant.

/// The one of `names` that is nearest to `wrong`, if any is near enough to be meant.
pub(super) fn nearest<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    // Long texts are no misspelt names, and the distance costs the product of both lengths.
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    let lower = wrong.to_lowercase();
    let near = |name: &&str| name.len() <= LONGEST;
    let measured = names.into_iter().filter(near).map(|name| {
        (
            strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
            name,
        )
    });
    let (distance, name) = measured.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.chars().count() / 4 && distance < name.chars().count()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_proposed() {
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
