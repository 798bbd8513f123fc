//! The command line: arguments, help texts, and the commands `check` and `providers`.
//!
//! Invariants: no server is started here. Results go to standard output, problems to standard
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
use crate::model::plural::pluralize;
use chat::ChatArgs;
use keys::KeysCommand;
use usage::UsageArgs;

const TOUR: &str = "\
A two-minute tour:
  1. sluicegate
       starts the server with config.toml, whose models play recordings: no account is needed
  2. open http://127.0.0.1:8484/
       send a message, stop the answer, reload the page during an answer
  3. sluicegate chat \"hello\"
       does the same in a terminal
  4. curl -N http://127.0.0.1:8484/v1/chat/completions -H 'content-type: application/json' \\
       -d '{\"model\":\"demo\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'
  5. add a provider and a model to config.toml (a valid file is applied at once, an invalid one is
     rejected as a whole):
       [providers.openai]
       api_key = \"${OPENAI_API_KEY}\"
       [models.smart]
       route = [\"openai/gpt-5\"]

Any OpenAI client works: set its base URL to http://127.0.0.1:8484/v1.

Configuration (the config.toml that is shipped with Sluicegate explains every key):
  sluicegate check            lists all problems of the configuration at once
  sluicegate check --probe    also requests one token from every target, to test its address, API key
                              and model name
  sluicegate keys new web     creates a virtual key, for auth.mode = \"required\"
  sluicegate usage --by key   prints usage and cost, as CSV or JSON lines (needs data_dir)
  sluicegate providers        lists the presets of known providers: wires, addresses, API keys

Signals:
  SIGHUP reloads the configuration. SIGTERM and Ctrl-C let running streams finish, at most for
  server.drain; a second signal exits at once.";

/// An LLM token-streaming proxy
#[derive(Debug, Parser)]
#[command(name = "sluicegate", version, about, after_help = "Use `--help` for details and a tour.", after_long_help = TOUR)]
#[command(
    long_about = "An LLM token-streaming proxy. It forwards chats to any provider and streams the \
                  answers in any API dialect. Clients can resume an answer after a lost connection, \
                  follow one answer with several readers, and cancel it at the provider.\n\n\
                  Without a command it starts the server."
)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// The configuration file (TOML)
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        default_value = "config.toml"
    )]
    pub config: PathBuf,

    /// The command to run instead of the server
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A command to run instead of the server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration and list all its problems
    ///
    /// Each problem is printed with file, line, column, key, the expected value, and a remedy.
    /// Environment variables and files that the configuration references are read as the server
    /// would read them. Exits with 0 if the configuration is valid, else with 1.
    Check {
        /// Also request one token from every target of a route, and print each result
        ///
        /// The provider bills one token for each target. Addresses, keys and model names are used
        /// as the server would use them. Exits with 0 if all targets have answered.
        #[arg(long)]
        probe: bool,
    },
    /// Send a message to a running Sluicegate and print the answer as it streams
    Chat(ChatArgs),
    /// Create virtual keys
    Keys {
        /// The command for keys
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Print usage and cost from the ledger in `data_dir`
    ///
    /// Prints one line for each stream, or sums. Reading does not disturb a running server; the
    /// streams of its last tenth of a second may be missing.
    Usage(UsageArgs),
    /// List the presets of known providers: their wires, addresses and keys
    Providers {
        /// Print the table in Markdown, as in the documentation
        #[arg(long)]
        markdown: bool,
    },
}

/// Writes the list of presets to `out`.
///
/// # Errors
/// Returns an error if the list cannot be written.
pub fn providers(markdown: bool, out: &mut dyn Write) -> io::Result<ExitCode> {
    let table = if markdown {
        presets::markdown()
    } else {
        format_table(&presets::rows())
    };
    out.write_all(table.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Checks the configuration at `path`. Writes a summary and warnings to `out`, or all problems to
/// `err`.
///
/// # Errors
/// Returns an error if the result cannot be written.
pub fn check(path: &Path, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    match Config::load(path) {
        Ok(config) => {
            writeln!(out, "{} is valid: {}", path.display(), summary(&config))?;
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
                pluralize(problems.list().len(), "problem")
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
        pluralize(listeners, "listener"),
        pluralize(providers, "provider"),
        pluralize(models, "model")
    )
}

/// Formats rows of cells as text, each column as wide as its widest cell.
fn format_table<const N: usize>(lines: &[[String; N]]) -> String {
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

    fn check_output(path: &Path) -> (ExitCode, String, String) {
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
    fn without_a_command_the_server_starts_with_config_toml() {
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
            long.contains("A two-minute tour")
                && long.contains("sluicegate check")
                && !short.contains("A two-minute tour"),
            "{long}"
        );
    }

    #[test]
    fn a_valid_configuration_is_summarized_on_standard_output() {
        let scratch = Scratch::new();
        scratch.write("demo/tour.rec", "");
        let path =
            scratch.write("config.toml", "providers.demo = { wire = 'replay', dir = 'demo' }\nmodels.demo.route = ['demo/tour.rec']\n");
        let (code, out, err) = check_output(&path);
        let (first, notes) = out.split_once('\n').unwrap();
        assert_eq!(
            first,
            format!(
                "{} is valid: 2 listeners, 1 provider, 1 model",
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
        let (_, out, err) = check_output(&path);
        assert_eq!(out.lines().count(), 1, "{out}{err}");
    }

    #[test]
    fn all_problems_go_to_standard_error() {
        let scratch = Scratch::new();
        let path = scratch.write("config.toml", "[server]\nlisten = 1\ndrain = 2\n");
        let (code, out, err) = check_output(&path);
        assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
        assert!(
            err.contains(":2:10: server.listen:")
                && err.contains(":3:9: server.drain:")
                && err.ends_with("\n3 problems\n"),
            "{err}"
        );
    }

    #[test]
    fn a_missing_file_is_a_problem() {
        let (code, _, err) = check_output(Path::new("/nowhere/config.toml"));
        assert_eq!(code, ExitCode::FAILURE);
        assert!(
            err.starts_with("/nowhere/config.toml: cannot be read: No such file"),
            "{err}"
        );
    }
}
