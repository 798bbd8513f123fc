//! What is said of text that is not TOML.
//!
//! Invariants: one mistake is told once. In a list that is not closed the parser stumbles over
//! everything that follows; only where the list begins is told.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeValue, Error};

/// A place that cannot be read.
pub(super) struct Unreadable {
    /// Where.
    pub(super) place: Range<usize>,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) help: Option<String>,
}

/// What the parser's `errors` come down to.
pub(super) fn unreadable(
    text: &str,
    table: &Spanned<DeValue<'_>>,
    errors: &[Error],
) -> Vec<Unreadable> {
    let mut containers = Vec::new();
    outermost(text, table, &mut containers);
    let mut told: Vec<_> = containers
        .iter()
        .filter_map(|container| within(text, container, errors))
        .collect();
    let free = errors
        .iter()
        .filter(|error| !containers.iter().any(|container| inside(container, error)));
    told.extend(free.map(one));
    told.sort_by_key(|unreadable| unreadable.place.start);
    // Keys and commas are missed only in an inline table; all that follows is missed by the same
    // mistake.
    let mut astray = false;
    told.retain(|unreadable| {
        let misses = unreadable.message.starts_with("not TOML: missing")
            || unreadable.message.starts_with("not TOML: unclosed inline");
        !(misses && std::mem::replace(&mut astray, true))
    });
    told
}

/// The lists and inline tables that stand in no other.
fn outermost(text: &str, value: &Spanned<DeValue<'_>>, out: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) if !is_inline(text, value) => table
            .iter()
            .for_each(|(_, value)| outermost(text, value, out)),
        DeValue::Array(list)
            if list
                .iter()
                .any(|item| item.get_ref().is_table() && !is_inline(text, item)) =>
        {
            list.iter().for_each(|value| outermost(text, value, out));
        }
        DeValue::Array(_) | DeValue::Table(_) => out.push(value.span()),
        _ => {}
    }
}

/// The span of other tables is that of their header.
fn is_inline(text: &str, table: &Spanned<DeValue<'_>>) -> bool {
    text.get(table.span())
        .is_some_and(|text| text.starts_with('{'))
}

/// What is said of a list or inline table that has errors in it.
fn within(text: &str, container: &Range<usize>, errors: &[Error]) -> Option<Unreadable> {
    let mut errors = errors.iter().filter(|error| inside(container, error));
    let first = errors.clone().min_by_key(|error| start(error))?;
    let kind = if text
        .get(container.clone())
        .is_some_and(|text| text.starts_with('['))
    {
        "unclosed array"
    } else {
        "unclosed inline"
    };
    if errors.any(|error| is(error, kind)) {
        let place = container.start..container.start + 1;
        let help = "close it, or look for a missing quote or comma behind it".to_owned();
        return Some(Unreadable {
            place,
            message: "not TOML: what begins here is not closed".into(),
            help: Some(help),
        });
    }
    Some(one(first))
}

fn inside(container: &Range<usize>, error: &Error) -> bool {
    (container.start..=container.end).contains(&start(error))
}

fn is(error: &Error, kind: &str) -> bool {
    error.message().starts_with(kind)
}

fn one(error: &Error) -> Unreadable {
    let help = if [
        "string values must be quoted",
        "invalid float",
        "invalid integer",
        "invalid date",
    ]
    .iter()
    .any(|kind| is(error, kind))
    {
        Some("text stands in quotes: \"…\"")
    } else if is(error, "missing ") {
        Some("look for a missing comma, or for a `{` or `[` before it that is not closed")
    } else {
        None
    };
    let message = format!("not TOML: {}", error.message());
    Unreadable {
        place: error.span().unwrap_or(0..0),
        message,
        help: help.map(str::to_owned),
    }
}

fn start(error: &Error) -> usize {
    error.span().map_or(0, |span| span.start)
}
