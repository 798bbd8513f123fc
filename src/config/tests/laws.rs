//! Laws that hold for any text.

use proptest::prelude::*;

use super::super::schema;
use super::{WHOLE, parse};

/// Lines that are nearly a configuration: keys and values of ours, put together without sense.
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
    fn nearly_good_text_never_panics_and_is_told_in_order(text in nearly()) {
        if let Err(problems) = parse(&text) {
            prop_assert!(problems.to_string().len() > 10);
            prop_assert!(problems.list().windows(2).all(|pair| (pair[0].line, pair[0].column) <= (pair[1].line, pair[1].column)));
        }
    }

    /// A hole within one line, so that no secret becomes the value of a key that has none; or all
    /// cut off behind it.
    #[test]
    fn a_damaged_file_never_shows_its_secrets(cut in 0..WHOLE.len(), hole in 0..40usize, rest: bool) {
        let text = WHOLE.replace("${WEB_KEY}", "hunter2").replace("${OPENAI_API_KEY}", "hunter2");
        let (before, after) = text.split_at(cut.min(text.len()));
        let after = if rest { after.char_indices().find(|(at, c)| *at >= hole || *c == '\n').map_or("", |(at, _)| after.split_at(at).1) } else { "" };
        if let Err(problems) = parse(&format!("{before}{after}")) {
            prop_assert!(!problems.to_string().contains("hunter2"), "{before}<<>>{after}\n{problems}");
        }
    }
}
