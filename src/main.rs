//! The `sluicegate` program: command line, runtime, exit code.

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
        Some(Command::Check) => Ok(cli::check(&arguments.config, &mut stdout(), &mut stderr())?),
        Some(Command::Chat(chat)) => sluicegate::app::runtime()?.block_on(cli::chat::run(chat)),
    }
}
