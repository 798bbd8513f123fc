//! What the ledger says, for people and their spreadsheets: every row, or sums.
//!
//! Invariants: it reads while another process writes; what is not settled yet is a row that runs;
//! sums are of rows as they are told, so that both agree. Cells of CSV that a spreadsheet would
//! take for a formula begin with an apostrophe.

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

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// From this day on.
    pub from: Option<Day>,
    /// To this day, which counts.
    pub to: Option<Day>,
    /// Sums by this; else every row.
    pub by: Option<By>,
    /// The form.
    pub format: Format,
}

/// What sums are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The virtual key.
    Key,
    /// The team.
    Team,
    /// The end user (and key).
    User,
    /// The model asked for.
    Model,
    /// The target that answered.
    Target,
    /// The day it began, UTC.
    Day,
    /// The month it began, UTC.
    Month,
}

/// A form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, with a line of names.
    #[default]
    Csv,
    /// One JSON object a line.
    Json,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportProblem {
    /// The ledger cannot be read.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// The report cannot be written.
    #[error("the report cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes the report; says how many lines of the ledger were no rows.
///
/// # Errors
/// When the ledger cannot be read or the report not be written.
pub fn write(
    data_dir: &Path,
    question: &Question,
    out: &mut dyn Write,
) -> Result<usize, ReportProblem> {
    match question.by {
        None => write_rows(data_dir, question, out),
        Some(by) => write_sums(data_dir, question, by, out),
    }
}

fn write_rows(
    data_dir: &Path,
    question: &Question,
    out: &mut dyn Write,
) -> Result<usize, ReportProblem> {
    let mut table = Table::begin(out, question.format, columns::ROW.iter().map(Column::name))?;
    let damaged = each(data_dir, question, |row| {
        Ok(table.line(columns::ROW.iter().map(|column| column.of(row)))?)
    })?;
    table.end()?;
    Ok(damaged)
}

fn write_sums(
    data_dir: &Path,
    question: &Question,
    by: By,
    out: &mut dyn Write,
) -> Result<usize, ReportProblem> {
    let mut sums: BTreeMap<[String; 2], Sum> = BTreeMap::new();
    let damaged = each(data_dir, question, |row| {
        sums.entry(group(by, row)).or_default().add(row);
        Ok(())
    })?;
    let names: Vec<&str> = group_names(by).iter().copied().chain(Sum::NAMES).collect();
    let mut table = Table::begin(out, question.format, names.into_iter())?;
    for (group, sum) in &sums {
        let groups = group
            .iter()
            .take(group_names(by).len())
            .map(|name| Some(name).filter(|name| !name.is_empty()).cloned().into());
        table.line(groups.chain(sum.cells()))?;
    }
    table.end()?;
    Ok(damaged)
}

/// Every row of the days asked for, each once: settled ones in the order of their ends, then those
/// that run.
fn each(
    data_dir: &Path,
    question: &Question,
    mut context: impl FnMut(&Row<'_>) -> Result<(), ReportProblem>,
) -> Result<usize, ReportProblem> {
    let asked = |row: &Row<'_>| {
        question.from.is_none_or(|from| row.day() >= from)
            && question.to.is_none_or(|to| row.day() <= to)
    };
    let mut damaged = 0;
    for (month, path) in files::months(data_dir)? {
        if question.from.is_some_and(|from| month < from.month())
            || question.to.is_some_and(|to| month > to.month())
        {
            continue;
        }
        let mut open: HashMap<String, Row<'static>> = HashMap::new();
        damaged += files::read::<ReportProblem>(&path, |row| {
            if row.ended.is_none() {
                open.insert(row.id.clone().into_owned(), row.into_owned());
                Ok(())
            } else if open.remove(&*row.id).is_some() && asked(&row) {
                context(&row)
            } else {
                Ok(())
            }
        })?;
        let mut running: Vec<_> = open.into_values().filter(|row| asked(row)).collect();
        running.sort_by(|a, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
        running.iter().try_for_each(&mut context)?;
    }
    Ok(damaged)
}

fn group(by: By, row: &Row<'_>) -> [String; 2] {
    let text =
        |it: &Option<std::borrow::Cow<'_, str>>| it.as_deref().unwrap_or_default().to_owned();
    match by {
        By::Key => [text(&row.key), String::new()],
        By::Team => [text(&row.team), String::new()],
        By::User => [text(&row.key), text(&row.user)],
        By::Model => [row.model.clone().into_owned(), String::new()],
        By::Target => [text(&row.provider), text(&row.target)],
        By::Day => [row.day().to_string(), String::new()],
        By::Month => [row.month().to_string(), String::new()],
    }
}

const fn group_names(by: By) -> &'static [&'static str] {
    match by {
        By::Key => &["key"],
        By::Team => &["team"],
        By::User => &["key", "user"],
        By::Model => &["model"],
        By::Target => &["provider", "target"],
        By::Day => &["day"],
        By::Month => &["month"],
    }
}

/// What the rows of one group come to.
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
