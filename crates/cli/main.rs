//! The `itera` program: parse → run a command → print.

mod args;
mod bench;
mod compare;
mod compress;
mod data;
mod doctor;
mod eval;
mod export;
mod generate;
mod hints;
mod inspect;
mod listing;
mod logits;
mod model;
mod opened;
mod progress;
mod report;
mod setup;
mod signals;
mod train;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    itera_kernels::memory::keep_freed();
    let args = args::Args::parse();
    setup::logging();
    run(args.command).unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {error:#}");
        if let Some(hint) = hints::hint(&error) {
            eprintln!("hint: {hint}");
        }
        ExitCode::FAILURE
    })
}

fn run(command: args::Command) -> anyhow::Result<ExitCode> {
    itera_kernels::simd::asked_level()?;
    match command {
        args::Command::Train(args) => train::run(args),
        args::Command::Eval(args) => eval::run(args),
        args::Command::Generate(args) => generate::run(args),
        args::Command::Model(args) => model::run(args),
        args::Command::Data(args) => data::run(args),
        args::Command::Doctor(args) => doctor::run(args),
        args::Command::Compress(args) => compress::run(args),
        args::Command::Compare(args) => compare::run(args),
        args::Command::Export(args) => export::run(args),
        args::Command::Inspect(args) => inspect::run(args),
        args::Command::Bench(args) => bench::run(args),
        args::Command::Logits(args) => logits::run(args),
    }
}

/// Whether whoever reads the output has seen enough, as `| head` has.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
