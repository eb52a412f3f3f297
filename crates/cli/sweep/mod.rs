//! `itera sweep`: many configurations, by any number of workers

mod report;
mod run;
mod sbatch;
mod status;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera sweep run sweep.toml --dry-run          what it would run
  itera sweep run sweep.toml                    again in another terminal, or on another host: they share the trials
  itera sweep sbatch sweep.toml --array 50 --time 4:00:00
  itera sweep report sweep.toml                 mean, 95 % interval, difference to the baseline

A sweep.toml:
  base = \"tiny.toml\"                            a configuration, beside this file
  seeds = 5
  [grid]
  train.lr = [1e-3, 2e-3, 4e-3]
  train.optimizer = [\"adamw\", \"muon\"]

docs/sweeps.md has all of it.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Train the trials that nobody has trained, and go on with those that somebody has left.
    Run(run::Args),
    /// Show how far each trial is.
    Status(status::Args),
    /// Compare the cells: mean, deviation and 95 % interval over the seeds, difference to the baseline.
    Report(report::Args),
    /// Write the script of an array of jobs of Slurm that share the trials.
    Sbatch(sbatch::Args),
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.what {
        What::Run(args) => run::run(&args),
        What::Status(args) => status::run(&args),
        What::Report(args) => report::run(&args),
        What::Sbatch(args) => sbatch::run(&args),
    }
}
