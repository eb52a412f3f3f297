//! The `itera` program: parse → run a command → print.
#![warn(clippy::print_stderr, clippy::print_stdout)] // they panic where nobody reads: `talk::say!`, `writeln!`
#![cfg_attr(not(feature = "train"), expect(dead_code, reason = "the linker drops what only `train` uses"))]

mod args;
mod batch;
mod bench;
mod cluster;
mod command;
mod compare;
mod compress;
mod data;
mod doctor;
mod documents;
mod embed;
mod embedder;
mod eval;
mod export;
mod failure;
mod generate;
mod heart;
mod hints;
mod inspect;
mod launch;
#[cfg(feature = "serve")]
mod listen;
mod listing;
mod logits;
mod model;
mod opened;
mod output;
mod progress;
mod quantize;
mod ranks;
mod report;
#[cfg(feature = "serve")]
mod repository;
mod rerank;
mod sbatch;
#[cfg(feature = "serve")]
mod serve;
mod setup;
mod shares;
mod signals;
mod similarity;
mod slurm;
mod sweep;
#[cfg(feature = "serve")]
mod systemd;
mod talk;
mod train;
mod watch;
mod watchdog;
mod weights;

use std::process::ExitCode;

use crate::command::Command;

fn main() -> ExitCode {
    itera_kernels::memory::keep_freed();
    let command = Command::parse();
    setup::logging();
    command.run().unwrap_or_else(|error| {
        if failure::is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        failure::tell(&error);
        ExitCode::FAILURE
    })
}
