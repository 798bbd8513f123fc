//! `sluicegate usage`: prints the ledger as a table, also while a server writes it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::config::Config;
use crate::ledger::period::Day;
use crate::ledger::report::{self, ReportProblem, ReportQuery};

/// Arguments of `sluicegate usage`.
#[derive(Debug, Clone, Args)]
pub struct UsageArgs {
    /// The first day to include, UTC: 2026-11-01
    #[arg(long, value_name = "DAY")]
    pub from: Option<Day>,
    /// The last day to include, UTC: 2026-11-30
    #[arg(long, value_name = "DAY")]
    pub to: Option<Day>,
    /// Print sums by this, instead of one line for each stream
    #[arg(long, value_enum)]
    pub by: Option<By>,
    /// CSV with a header line, or one JSON object per line
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub format: Format,
    /// The `data_dir` of a server [default: the one in the configuration]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// The grouping of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The virtual key
    Key,
    /// The team
    Team,
    /// The end user, with the key
    User,
    /// The model that the client requested
    Model,
    /// The provider and its model that answered
    Target,
    /// The day on which a stream began, UTC
    Day,
    /// The month in which a stream began, UTC
    Month,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// RFC 4180
    Csv,
    /// JSON lines
    Json,
}

impl From<By> for report::GroupBy {
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

/// Writes the table to `out`, and a warning about unreadable lines to `err`.
///
/// # Errors
/// Returns an error if there is no ledger, or if it cannot be read.
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
                anyhow::anyhow!("the configuration sets no `data_dir`, so no ledger is kept; set it, or name a ledger's folder with --data-dir")
            })?,
            Err(problems) => bail!("{problems}\n(--data-dir FOLDER needs no configuration)"),
        },
    };
    if !dir.is_dir() {
        bail!(
            "the folder {} does not exist: it contains no ledger",
            dir.display()
        );
    }
    // `None` compares as less than any day, so a missing --to is excluded.
    if args.from > args.to && args.to.is_some() {
        bail!("--from is later than --to");
    }
    let question = ReportQuery {
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
                "warning: {damaged} lines of the ledger cannot be read and are skipped"
            )?;
            Ok(ExitCode::SUCCESS)
        }
        // The reader of the pipe (for example `head`) has closed it, which is not an error.
        Err(ReportProblem::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error.into()),
    }
}
