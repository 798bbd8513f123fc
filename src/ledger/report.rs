//! Reports from the ledger for people and spreadsheets: every row, or sums.
//!
//! Invariants: a report can be made while another process writes; a stream that is not settled is
//! reported as running; sums add exactly the rows that are reported, so that both agree. CSV cells
//! that a spreadsheet would take for a formula begin with an apostrophe.

mod columns;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use super::files::{self, FileProblem};
use super::period::Day;
use super::row::Row;
use crate::model::money::Money;
use columns::Column;
use table::Table;

/// The parameters of a report.
#[derive(Debug, Clone, Default)]
pub struct ReportQuery {
    /// First day, inclusive.
    pub from: Option<Day>,
    /// Last day, inclusive.
    pub to: Option<Day>,
    /// Groups of the sums; `None` reports every row.
    pub by: Option<GroupBy>,
    /// Output format.
    pub format: Format,
}

/// The property that sums are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// The virtual key.
    Key,
    /// The team.
    Team,
    /// The end user, together with the key.
    User,
    /// The model name that was asked for.
    Model,
    /// The target that answered.
    Target,
    /// The day on which the stream began, UTC.
    Day,
    /// The month in which the stream began, UTC.
    Month,
}

/// An output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// CSV as in RFC 4180, with a header line.
    #[default]
    Csv,
    /// One JSON object per line.
    Json,
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportProblem {
    /// The ledger cannot be read.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// The report cannot be written.
    #[error("the report cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes the report. Returns the number of ledger lines that are not rows.
///
/// # Errors
/// When the ledger cannot be read or the report cannot be written.
pub fn write(
    data_dir: &Path,
    query: &ReportQuery,
    out: &mut dyn Write,
) -> Result<usize, ReportProblem> {
    match query.by {
        None => write_rows(data_dir, query, out),
        Some(by) => write_sums(data_dir, query, by, out),
    }
}

fn write_rows(
    data_dir: &Path,
    query: &ReportQuery,
    out: &mut dyn Write,
) -> Result<usize, ReportProblem> {
    let mut table = Table::begin(out, query.format, columns::ROW.iter().map(Column::name))?;
    let damaged = for_each_row(data_dir, query, |row| {
        Ok(table.line(columns::ROW.iter().map(|column| column.value(row)))?)
    })?;
    table.end()?;
    Ok(damaged)
}

fn write_sums(
    data_dir: &Path,
    query: &ReportQuery,
    by: GroupBy,
    out: &mut dyn Write,
) -> Result<usize, ReportProblem> {
    let mut sums: BTreeMap<[String; 2], Sum> = BTreeMap::new();
    let damaged = for_each_row(data_dir, query, |row| {
        sums.entry(group(by, row)).or_default().add(row);
        Ok(())
    })?;
    let names: Vec<&str> = group_names(by).iter().copied().chain(Sum::NAMES).collect();
    let mut table = Table::begin(out, query.format, names.into_iter())?;
    for (group, sum) in &sums {
        let groups = group
            .iter()
            .take(group_names(by).len())
            // An absent key or team is an empty cell, and `null` in JSON.
            .map(|name| Some(name).filter(|name| !name.is_empty()).cloned().into());
        table.line(groups.chain(sum.cells()))?;
    }
    table.end()?;
    Ok(damaged)
}

/// Calls `on_row` with every row of the requested days, each once: settled rows in the order of
/// their ends, then running ones. Returns the number of lines that are not rows.
fn for_each_row(
    data_dir: &Path,
    query: &ReportQuery,
    mut on_row: impl FnMut(&Row<'_>) -> Result<(), ReportProblem>,
) -> Result<usize, ReportProblem> {
    let in_range = |row: &Row<'_>| {
        query.from.is_none_or(|from| row.day() >= from) && query.to.is_none_or(|to| row.day() <= to)
    };
    let mut damaged = 0;
    for (month, path) in files::months(data_dir)? {
        // A row is in the file of the month in which its stream began.
        if query.from.is_some_and(|from| month < from.month())
            || query.to.is_some_and(|to| month > to.month())
        {
            continue;
        }
        let mut open: HashMap<String, Row<'static>> = HashMap::new();
        damaged += files::read_rows::<ReportProblem>(&path, |row| {
            // The opening line comes first: a settled row without one is a repeated line and counts
            // once.
            if row.ended.is_none() {
                open.insert(row.id.clone().into_owned(), row.into_owned());
                Ok(())
            } else if open.remove(&*row.id).is_some() && in_range(&row) {
                on_row(&row)
            } else {
                Ok(())
            }
        })?;
        let mut running: Vec<_> = open.into_values().filter(|row| in_range(row)).collect();
        // The map has no order, and a report must not differ between two runs.
        running.sort_by(|a, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
        running.iter().try_for_each(&mut on_row)?;
    }
    Ok(damaged)
}

fn group(by: GroupBy, row: &Row<'_>) -> [String; 2] {
    let text =
        |it: &Option<std::borrow::Cow<'_, str>>| it.as_deref().unwrap_or_default().to_owned();
    match by {
        GroupBy::Key => [text(&row.key), String::new()],
        GroupBy::Team => [text(&row.team), String::new()],
        // With the key: users of different keys may have equal names.
        GroupBy::User => [text(&row.key), text(&row.user)],
        GroupBy::Model => [row.model.clone().into_owned(), String::new()],
        GroupBy::Target => [text(&row.provider), text(&row.target)],
        GroupBy::Day => [row.day().to_string(), String::new()],
        GroupBy::Month => [row.month().to_string(), String::new()],
    }
}

const fn group_names(by: GroupBy) -> &'static [&'static str] {
    match by {
        GroupBy::Key => &["key"],
        GroupBy::Team => &["team"],
        GroupBy::User => &["key", "user"],
        GroupBy::Model => &["model"],
        GroupBy::Target => &["provider", "target"],
        GroupBy::Day => &["day"],
        GroupBy::Month => &["month"],
    }
}

/// The sums over the rows of one group.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    streams: u64,
    input: u64,
    cached: u64,
    write: u64,
    output: u64,
    reasoning: u64,
    cost: Money,
    estimated: u64,
    unpriced: u64,
}

impl Sum {
    const NAMES: [&'static str; 9] = [
        "streams",
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cost",
        "estimated",
        "unpriced",
    ];

    fn add(&mut self, row: &Row<'_>) {
        self.streams += 1;
        for (sum, tokens) in [
            (&mut self.input, row.input_tokens),
            (&mut self.cached, row.cached_input_tokens),
            (&mut self.write, row.cache_write_tokens),
            (&mut self.output, row.output_tokens),
            (&mut self.reasoning, row.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(tokens.unwrap_or(0));
        }
        self.cost = self.cost.plus(row.cost.unwrap_or_default());
        self.estimated += u64::from(row.estimated);
        // A stream that reached no provider has no price to miss.
        self.unpriced += u64::from(row.cost.is_none() && row.attempts > 0);
    }

    fn cells(&self) -> impl Iterator<Item = table::Cell> {
        let before = [
            self.streams,
            self.input,
            self.cached,
            self.write,
            self.output,
            self.reasoning,
        ]
        .map(table::Cell::Number);
        before.into_iter().chain([
            table::Cell::Money(self.cost),
            table::Cell::Number(self.estimated),
            table::Cell::Number(self.unpriced),
        ])
    }
}
