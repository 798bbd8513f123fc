//! `sluicegate usage`: the ledger as a table, also while a server writes it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::config::Config;
use crate::ledger::period::Day;
use crate::ledger::report::{self, Question, ReportProblem};

/// What is to be told of the ledger.
#[derive(Debug, Clone, Args)]
pub struct UsageArgs {
    /// The first day that counts, UTC: 2026-11-01
    #[arg(long, value_name = "DAY")]
    pub from: Option<Day>,
    /// The last day that counts, UTC: 2026-11-30
    #[arg(long, value_name = "DAY")]
    pub to: Option<Day>,
    /// Sums by this, instead of a line for each stream
    #[arg(long, value_enum)]
    pub by: Option<By>,
    /// CSV with a line of names, or one JSON object a line
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub format: Format,
    /// The `data_dir` of a server; else the configuration says it
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// What sums are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The virtual key
    Key,
    /// The team
    Team,
    /// The end user, with the key
    User,
    /// The model asked for
    Model,
    /// The provider and its model that answered
    Target,
    /// The day a stream began, UTC
    Day,
    /// The month a stream began, UTC
    Month,
}

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// RFC 4180
    Csv,
    /// JSON lines
    Json,
}

impl From<By> for report::By {
    fn from(by: By) -> Self {
        match by {
            By::Key => Self::Key,
            By::Team => Self::Team,
            By::User => Self::User,
            By::Model => Self::Model,
            By::Target => Self::Target,
            By::Day => Self::Day,
            By::Month => Self::Month,
        }
    }
}

impl From<Format> for report::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::Json => Self::Json,
        }
    }
}

/// Writes the table to `out`; what cannot be read, to `err`.
///
/// # Errors
/// When there is no ledger, or it cannot be read.
pub fn usage(
    config: &Path,
    args: &UsageArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => match Config::load(config) {
            Ok(config) => config.data_dir.ok_or_else(|| {
                anyhow::anyhow!("the configuration has no `data_dir`: no ledger is kept")
            })?,
            Err(problems) => bail!("{problems}\n(--data-dir FOLDER does without a configuration)"),
        },
    };
    if !dir.is_dir() {
        bail!(
            "there is no folder {}: no ledger has been kept there",
            dir.display()
        );
    }
    if args.from > args.to && args.to.is_some() {
        bail!("--from is later than --to");
    }
    let question = Question {
        from: args.from,
        to: args.to,
        by: args.by.map(Into::into),
        format: args.format.into(),
    };
    match report::write(&dir, &question, out) {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(damaged) => {
            writeln!(
                err,
                "{damaged} lines of the ledger cannot be read, and are left out"
            )?;
            Ok(ExitCode::SUCCESS)
        }
        // Whoever read it has seen enough.
        Err(ReportProblem::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error.into()),
    }
}
