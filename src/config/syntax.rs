//! Problems of text that is not TOML.
//!
//! Invariants: one mistake is reported once. In an unclosed list the parser reports an error for
//! everything that follows; only the beginning of the list is reported to the operator.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeValue, Error};

/// A syntax error for the operator.
pub(super) struct SyntaxProblem {
    /// Its span in the text.
    pub(super) place: Range<usize>,
    /// The description of the error.
    pub(super) message: String,
    /// The remedy.
    pub(super) help: Option<String>,
}

/// Reduces the parser's `errors` to one problem for each mistake.
pub(super) fn problems_in(
    text: &str,
    table: &Spanned<DeValue<'_>>,
    errors: &[Error],
) -> Vec<SyntaxProblem> {
    let mut containers = Vec::new();
    outermost_containers(text, table, &mut containers);
    let mut problems: Vec<_> = containers
        .iter()
        .filter_map(|container| container_problem(text, container, errors))
        .collect();
    let outside = errors
        .iter()
        .filter(|error| !containers.iter().any(|container| inside(container, error)));
    problems.extend(outside.map(error_problem));
    problems.sort_by_key(|problem| problem.place.start);
    // The parser misses keys and commas only inside an inline table. After the first such error,
    // all further ones follow from the same mistake.
    let mut missing_reported = false;
    problems.retain(|problem| {
        let reports_missing = problem.message.starts_with("not TOML: missing")
            || problem.message.starts_with("not TOML: unclosed inline");
        !(reports_missing && std::mem::replace(&mut missing_reported, true))
    });
    problems
}

/// Collects the spans of the lists and inline tables that are not inside another one.
fn outermost_containers(text: &str, value: &Spanned<DeValue<'_>>, out: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) if !is_inline(text, value) => table
            .iter()
            .for_each(|(_, value)| outermost_containers(text, value, out)),
        DeValue::Array(list)
            if list
                .iter()
                .any(|item| item.get_ref().is_table() && !is_inline(text, item)) =>
        {
            list.iter()
                .for_each(|value| outermost_containers(text, value, out));
        }
        DeValue::Array(_) | DeValue::Table(_) => out.push(value.span()),
        _ => {}
    }
}

/// True for an inline table. The span of any other table covers only its header.
fn is_inline(text: &str, table: &Spanned<DeValue<'_>>) -> bool {
    text.get(table.span())
        .is_some_and(|text| text.starts_with('{'))
}

/// Returns the one problem of a list or inline table that contains errors.
fn container_problem(
    text: &str,
    container: &Range<usize>,
    errors: &[Error],
) -> Option<SyntaxProblem> {
    let mut errors = errors.iter().filter(|error| inside(container, error));
    let first = errors.clone().min_by_key(|error| start_of(error))?;
    let kind = if text
        .get(container.clone())
        .is_some_and(|text| text.starts_with('['))
    {
        "unclosed array"
    } else {
        "unclosed inline"
    };
    if errors.any(|error| is_kind(error, kind)) {
        let place = container.start..container.start + 1;
        let help =
            "add the closing `]` or `}`, or look for a missing quote or comma after it".to_owned();
        return Some(SyntaxProblem {
            place,
            message: "not TOML: the list or inline table that begins here is not closed".into(),
            help: Some(help),
        });
    }
    Some(error_problem(first))
}

fn inside(container: &Range<usize>, error: &Error) -> bool {
    (container.start..=container.end).contains(&start_of(error))
}

fn is_kind(error: &Error, kind: &str) -> bool {
    error.message().starts_with(kind)
}

fn error_problem(error: &Error) -> SyntaxProblem {
    let help = if [
        "string values must be quoted",
        "invalid float",
        "invalid integer",
        "invalid date",
    ]
    .iter()
    .any(|kind| is_kind(error, kind))
    {
        Some("put text in quotes: \"…\"")
    } else if is_kind(error, "missing ") {
        Some("look for a missing comma, or for an unclosed `{` or `[` before it")
    } else {
        None
    };
    let message = format!("not TOML: {}", error.message());
    SyntaxProblem {
        place: error.span().unwrap_or(0..0),
        message,
        help: help.map(str::to_owned),
    }
}

fn start_of(error: &Error) -> usize {
    error.span().map_or(0, |span| span.start)
}
