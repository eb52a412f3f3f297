//! The `itera` program: parse → run a command → print.
#![warn(clippy::print_stderr, clippy::print_stdout)] // they panic where nobody reads: `talk::say!`, `writeln!`

mod args;
mod bench;
mod cluster;
mod command;
mod compare;
mod compress;
mod data;
mod doctor;
mod documents;
mod eval;
mod export;
mod generate;
mod hints;
mod inspect;
mod listing;
mod logits;
mod model;
mod opened;
mod output;
mod progress;
mod report;
#[cfg(feature = "serve")]
mod serve;
mod setup;
mod signals;
mod talk;
mod train;

use std::process::ExitCode;

use crate::command::Command;

fn main() -> ExitCode {
    itera_kernels::memory::keep_freed();
    let command = Command::parse();
    setup::logging();
    command.run().unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        talk::say!("error: {error:#}");
        if let Some(hint) = hints::hint(&error) {
            talk::say!("hint: {hint}");
        }
        ExitCode::FAILURE
    })
}

/// Whether whoever reads the output has seen enough, as `| head` has.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
