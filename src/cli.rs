//! The command line: what it takes, what it teaches, and `check`.
//!
//! Invariants: nothing is started here. Results go to standard output, complaints to standard
//! error.

pub mod chat;
pub mod keys;
pub mod probe;
pub mod usage;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, presets};
use crate::model::plural::counted;
use chat::ChatArgs;
use keys::KeysCommand;
use usage::UsageArgs;

const TOUR: &str = "\
Two minutes:
  1. sluicegate                             serves config.toml: recordings, so no account is needed
  2. open http://127.0.0.1:8484/            send a message, stop it, reload the page in mid-stream
  3. sluicegate chat \"hello\"                the same in a terminal
  4. curl -N http://127.0.0.1:8484/v1/chat/completions -H 'content-type: application/json' \\
       -d '{\"model\":\"demo\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'
  5. in config.toml, add a provider and a model; a good file is taken at once, a bad one is refused whole:
       [providers.openai]
       api_key = \"${OPENAI_API_KEY}\"
       [models.smart]
       route = [\"openai/gpt-5\"]

Any OpenAI client works: give it http://127.0.0.1:8484/v1 as its base URL.

The configuration:
  Every key is explained, with its default, in the config.toml that comes with Sluicegate.
  sluicegate check                          says everything that is wrong with it at once
  sluicegate check --probe                  asks every target for one token as well: address, key, model name
  sluicegate keys new web                   makes a virtual key, for auth.mode = \"required\"
  sluicegate usage --by key                 sums what was used and spent, as CSV or JSON lines (data_dir)
  sluicegate providers                      lists the known providers: wires, addresses, keys

Signals:
  SIGHUP reads the configuration again. SIGTERM and Ctrl-C let running streams finish (server.drain); a second one ends now.";

/// An LLM token-streaming proxy
#[derive(Debug, Parser)]
#[command(name = "sluicegate", version, about, after_help = "`--help` says more, with a tour.", after_long_help = TOUR)]
#[command(
    long_about = "An LLM token-streaming proxy that owns the whole life of a stream: any provider in, any dialect out, resume, many \
                        readers, real cancel.\n\nWithout a command it serves what the configuration says."
)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// The configuration, a TOML file
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        default_value = "config.toml"
    )]
    pub config: PathBuf,

    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that is wrong with the configuration
    ///
    /// Each problem comes with file, line, column, key, what was expected, and what to do.
    /// Environment variables and files that the configuration refers to are read as they would be
    /// when serving. Exits with 0 when all is good, else with 1.
    Check {
        /// Ask every target that a model routes to for one token, and say what came of it
        ///
        /// This costs what one token costs. Addresses, keys and model names are tried as they would
        /// be when serving. Exits with 0 when all targets have answered.
        #[arg(long)]
        probe: bool,
    },
    /// Ask a running Sluicegate, and watch the answer arrive
    Chat(ChatArgs),
    /// Make virtual keys
    Keys {
        /// What to do with them
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Tell what was used and what it cost, from the ledger in `data_dir`
    ///
    /// A line for each stream, or sums. A running server is not disturbed; its last tenth of a
    /// second may be missing.
    Usage(UsageArgs),
    /// List the known providers: their wires, addresses and keys
    Providers {
        /// As the table in the README
        #[arg(long)]
        markdown: bool,
    },
}

/// Lists the known providers.
///
/// # Errors
/// When the list cannot be written.
pub fn providers(markdown: bool, out: &mut dyn Write) -> io::Result<ExitCode> {
    let table = if markdown {
        presets::markdown()
    } else {
        columns(&presets::rows())
    };
    out.write_all(table.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Checks the configuration at `path`: a summary to `out`, or all problems to `err`.
///
/// # Errors
/// When neither can be written.
pub fn check(path: &Path, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    match Config::load(path) {
        Ok(config) => {
            writeln!(out, "{} is good: {}", path.display(), summary(&config))?;
            for warning in config.warnings() {
                writeln!(out, "warning: {warning}")?;
            }
            for changed in config.changed_defaults {
                writeln!(out, "note: {changed}")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            writeln!(
                err,
                "{problems}\n{}",
                counted(problems.list().len(), "problem")
            )?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn summary(config: &Config) -> String {
    let listeners = config.server.listen.len() + 1;
    let (providers, models) = (config.route.providers.len(), config.route.models.len());
    format!(
        "{}, {}, {}",
        counted(listeners, "listener"),
        counted(providers, "provider"),
        counted(models, "model")
    )
}

/// Lines of cells, each column as wide as its widest cell.
fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let row = |line: &[String; N]| {
        let cells: Vec<_> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    lines.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::scratch::Scratch;

    fn checked(path: &Path) -> (ExitCode, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(path, &mut out, &mut err).unwrap();
        (
            code,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves_config_toml() {
        let cli = Cli::try_parse_from(["sluicegate"]).unwrap();
        assert!(cli.command.is_none());
        let cli = Cli::try_parse_from(["sluicegate", "check", "--config", "other.toml"]).unwrap();
        assert!(
            matches!(cli.command, Some(Command::Check { probe: false }))
                && cli.config == Path::new("other.toml")
        );
    }

    #[test]
    fn the_short_help_is_short_and_the_long_one_has_the_tour() {
        let (short, long) = (
            Cli::command().render_help().to_string(),
            Cli::command().render_long_help().to_string(),
        );
        assert!(short.lines().count() <= 20, "{short}");
        assert!(
            long.contains("Two minutes")
                && long.contains("sluicegate check")
                && !short.contains("Two minutes"),
            "{long}"
        );
    }

    #[test]
    fn a_good_configuration_is_summed_up_on_standard_output() {
        let scratch = Scratch::new();
        scratch.write("demo/tour.rec", "");
        let path =
            scratch.write("config.toml", "providers.demo = { wire = 'replay', dir = 'demo' }\nmodels.demo.route = ['demo/tour.rec']\n");
        let (code, out, err) = checked(&path);
        let (first, notes) = out.split_once('\n').unwrap();
        assert_eq!(
            first,
            format!(
                "{} is good: 2 listeners, 1 provider, 1 model",
                path.display()
            ),
            "{err}"
        );
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
        assert!(
            notes.contains("note: server.listen is not set: the default is 127.0.0.1:8484")
                && notes.contains("note: server.admin_listen is not set"),
            "{notes}"
        );
    }

    #[test]
    fn a_configuration_that_sets_its_ports_gets_no_note() {
        let scratch = Scratch::new();
        scratch.write("demo/tour.rec", "");
        let path = scratch.write(
            "config.toml",
            "server = { listen = '127.0.0.1:1', admin_listen = '127.0.0.1:2' }\nproviders.demo = { wire = 'replay', dir = 'demo' }\nmodels.demo.route = ['demo/tour.rec']\n",
        );
        let (_, out, err) = checked(&path);
        assert_eq!(out.lines().count(), 1, "{out}{err}");
    }

    #[test]
    fn all_problems_go_to_standard_error() {
        let scratch = Scratch::new();
        let path = scratch.write("config.toml", "[server]\nlisten = 1\ndrain = 2\n");
        let (code, out, err) = checked(&path);
        assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
        assert!(
            err.contains(":2:10: server.listen:")
                && err.contains(":3:9: server.drain:")
                && err.ends_with("\n3 problems\n"),
            "{err}"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_a_problem_too() {
        let (code, _, err) = checked(Path::new("/nowhere/config.toml"));
        assert_eq!(code, ExitCode::FAILURE);
        assert!(
            err.starts_with("/nowhere/config.toml: cannot be read: No such file"),
            "{err}"
        );
    }
}
