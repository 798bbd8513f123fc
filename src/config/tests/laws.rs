//! Properties that hold for any text.

use proptest::prelude::*;

use super::super::schema;
use super::{ALL_KEYS, parse};

/// Generates nearly valid configurations: known keys and plausible values in random combination.
fn nearly() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = schema::SECTIONS
        .iter()
        .flat_map(|(_, keys)| *keys)
        .map(schema::Key::name)
        .collect();
    let values = [
        "1",
        "-1",
        "1.5",
        "true",
        "'a'",
        "\"${X}\"",
        "'${file:/nowhere}'",
        "'replay'",
        "'openai-chat'",
        "[]",
        "[[]]",
        "[1, 'a/b']",
        "{}",
        "{ target = 'a/b', weight = 2 }",
        "'10s'",
        "'8MiB'",
        "2027-01-01T00:00:00Z",
        "12:00:00",
        "'",
        "[",
        "{ a = ",
        "\"\"\"",
        "'é🦀'",
        "nan",
    ];
    let line = (
        prop::sample::select(names),
        prop::sample::select(values.to_vec()),
        0..6u8,
    )
        .prop_map(|(name, value, form)| match form {
            0 => format!("[{name}]"),
            1 => format!("[[{name}]]"),
            2 => format!("[{name}.x]"),
            3 => format!("x.{name} = {value}"),
            _ => format!("{name} = {value}"),
        });
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        if let Err(problems) = parse(&text) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn nearly_valid_text_never_panics_and_problems_are_sorted(text in nearly()) {
        if let Err(problems) = parse(&text) {
            prop_assert!(problems.to_string().len() > 10);
            prop_assert!(problems.list().windows(2).all(|pair| (pair[0].line, pair[0].column) <= (pair[1].line, pair[1].column)));
        }
    }

    /// Removes a part of one line, so that no secret becomes the value of a public key, or
    /// everything after `cut`.
    #[test]
    fn problems_of_a_damaged_file_never_contain_secrets(cut in 0..ALL_KEYS.len(), hole in 0..40usize, rest: bool) {
        let text = ALL_KEYS.replace("${WEB_KEY}", "hunter2").replace("${OPENAI_API_KEY}", "hunter2");
        let (before, after) = text.split_at(cut.min(text.len()));
        let after = if rest { after.char_indices().find(|(at, c)| *at >= hole || *c == '\n').map_or("", |(at, _)| after.split_at(at).1) } else { "" };
        if let Err(problems) = parse(&format!("{before}{after}")) {
            prop_assert!(!problems.to_string().contains("hunter2"), "{before}<<>>{after}\n{problems}");
        }
    }
}
