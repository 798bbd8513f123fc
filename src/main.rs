//! The `sluicegate` program: parses the command line, starts the runtime, sets the exit code.

use std::io::{stderr, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use sluicegate::cli::{self, Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Cli::parse();
    match arguments.command {
        None => sluicegate::app::serve(&arguments.config),
        Some(Command::Check { probe: false }) => {
            Ok(cli::check(&arguments.config, &mut stdout(), &mut stderr())?)
        }
        // A probe sends requests upstream, so it needs a runtime; a plain check does not.
        Some(Command::Check { probe: true }) => Ok(sluicegate::app::runtime()?.block_on(
            cli::probe::check(&arguments.config, &mut stdout(), &mut stderr()),
        )?),
        Some(Command::Keys { command }) => {
            Ok(cli::keys::run(&command, &mut stdout(), &mut stderr())?)
        }
        Some(Command::Providers { markdown }) => Ok(cli::providers(markdown, &mut stdout())?),
        Some(Command::Usage(usage)) => {
            cli::usage::usage(&arguments.config, &usage, &mut stdout(), &mut stderr())
        }
        Some(Command::Chat(chat)) => sluicegate::app::runtime()?.block_on(cli::chat::run(chat)),
    }
}
