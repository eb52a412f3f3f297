//! `itera bench`: what is measured, and how often, is said by whoever asks; medians count, and the spread says whether to
//! believe them.

mod model;
mod roofline;
mod spread;
mod timing;
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use self::model::BenchModel;
use crate::opened::RunArgs;

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  itera bench quickstart.gguf --threads 1
  itera bench quickstart-q8.gguf --against quickstart.gguf --threads 1
  itera bench train --config configs/bench-tiny.toml

Measured apart: loading, reading the prompt, the first token, each further token (by the most likely one), and many
texts at once. Two models take turns. Measure on an idle machine."
)]
pub struct Args {
    #[command(subcommand)]
    pub what: Option<What>,
    #[command(flatten)]
    pub model: Option<BenchModel>,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Measure training steps: tokens a second, time by phase, share of the processor's peak, memory.
    #[cfg(feature = "train")]
    Train(train::BenchTrain),
}

pub fn run(args: Args) -> Result<ExitCode> {
    match (args.what, args.model) {
        #[cfg(feature = "train")]
        (Some(What::Train(args)), _) => train::run(args),
        (None, Some(model)) => model::run(model, args.run),
        (None, None) => unreachable!("clap asks for a path where there is no subcommand"),
    }
}
