//! The command line: what `itera --help` shows. The arguments of a command stand in its own file.

use std::{
    env,
    process::{ExitCode, exit},
};

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use itera_kernels::simd::asked_level;

use crate::{
    bench, compare, data, doctor, embed, eval, export, failure, generate, hints::with_hint, inspect, launch, logits,
    model, ranks, rerank, talk, watch,
};
#[cfg(feature = "train")]
use crate::{compress, sbatch, sweep, train};
#[cfg(feature = "serve")]
use crate::{repository, serve};

/// Train, compress and ship tiny language models: a Mamba-2 backbone with a mixture of experts, on a CPU.
#[derive(Debug, Parser)]
#[command(
    name = "itera",
    version,
    after_help = "\
Examples:
  itera train --config configs/quickstart.toml          train on built-in stories, nothing to download
  itera generate runs/quickstart --prompt \"Once upon a time\"
  itera eval runs/quickstart                            bits per byte of the held-out documents
  itera export runs/quickstart --dtype q8_0 -o quickstart.gguf
  itera compress --recipe int4 runs/quickstart
  itera generate quickstart.gguf --prompt \"Once upon a time\"
  itera serve quickstart.gguf                           OpenAI's API at http://127.0.0.1:8000/v1

Exit codes: 0 done, 1 failed, 2 wrong usage; 128 + the signal's number when SIGINT, SIGTERM, SIGUSR1, SIGUSR2
or SIGHUP stopped work that is saved (130, 143, and on Linux 138, 140 and 129), 75 if that was in a job of Slurm, or
a process of several was lost."
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

/// Commands that the processes of a job do together.
const TOGETHER: [&str; 4] = ["train", "eval", "bench", "doctor"];

/// Commands that a program may be built without, and the features that they are of.
const OPTIONAL: [(&str, &str); 6] = [
    ("train", "train"),
    ("compress", "train"),
    ("sbatch", "train"),
    ("sweep", "train"),
    ("serve", "serve"),
    ("repository", "serve"),
];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model: text in, checkpoint out.
    #[cfg(feature = "train")]
    Train(train::Args),
    /// Score held-out documents in full: nats a token, bits per byte, perplexity.
    Eval(eval::Args),
    /// Continue prompts.
    Generate(generate::Args),
    /// Make a vector of each text, by a model of the BERT family or one of ours.
    Embed(embed::Args),
    /// Sort texts by how much likelier they are behind another.
    Rerank(rerank::Args),
    /// Answer requests over HTTP, in the words of OpenAI, Triton and llama.cpp.
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    /// Back up the models of a directory that is served, check a backup, put it back.
    #[cfg(feature = "serve")]
    Repository(repository::Args),
    /// Write a model as a GGUF file, which llama.cpp runs too, or as a Hugging Face directory.
    Export(export::Args),
    /// Shrink a trained run by a recipe, and report what that costs.
    #[cfg(feature = "train")]
    Compress(compress::Args),
    /// Compare models: bytes, bits per byte, speed, memory, samples.
    Compare(compare::Args),
    /// Show what a model file or directory holds: metadata, tensors, tokenizer, sizes.
    Inspect(inspect::Args),
    /// Show the model of a configuration: every tensor, parameters, bytes, FLOPs a token.
    Model(model::Args),
    /// Show the corpus of a configuration: documents, bytes, tokens, splits, samples.
    Data(data::Args),
    /// Show what this machine has, and measure how fast it is.
    Doctor(doctor::Args),
    /// Measure the speed of a model, or of training.
    Bench(bench::Args),
    /// Start a command as several processes of this machine that do it together.
    Launch(launch::Args),
    /// Write the script of a batch job of Slurm that trains, and goes on when it is run again.
    #[cfg(feature = "train")]
    Sbatch(sbatch::Args),
    /// Train many configurations by any number of workers, and compare them.
    #[cfg(feature = "train")]
    Sweep(sweep::Args),
    /// Show a run of another process: progress, curve, samples.
    Watch(watch::Args),
    /// Print the logits of a text, for comparison with other implementations.
    Logits(logits::Args),
}

impl Command {
    /// What this process is asked to do. Prints help, or what is wrong with the arguments, and ends the process if they
    /// ask for that.
    pub fn parse() -> Self {
        let matches = with_negative_numbers(Args::command()).try_get_matches();
        matches.and_then(|matches| Args::from_arg_matches(&matches)).unwrap_or_else(|error| refuse(&error)).command
    }

    /// Do what is asked. Returns the exit code of what was done, or was stopped by a signal.
    pub fn run(self) -> Result<ExitCode> {
        // these ask where their error ends all ranks
        let asks_later = match &self {
            #[cfg(feature = "train")]
            Self::Train(_) => true,
            command => matches!(command, Self::Eval(_)),
        };
        if !asks_later {
            asked_level()?;
        }
        match self {
            #[cfg(feature = "train")]
            Self::Train(args) => train::run(args),
            Self::Eval(args) => eval::run(args),
            Self::Generate(args) => generate::run(args),
            Self::Embed(args) => embed::run(args),
            Self::Rerank(args) => rerank::run(args),
            #[cfg(feature = "serve")]
            Self::Serve(args) => serve::run(args),
            #[cfg(feature = "serve")]
            Self::Repository(args) => repository::run(args),
            Self::Export(args) => export::run(args),
            #[cfg(feature = "train")]
            Self::Compress(args) => compress::run(args),
            Self::Compare(args) => compare::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Model(args) => model::run(args),
            Self::Data(args) => data::run(args),
            Self::Doctor(args) => doctor::run(args),
            Self::Bench(args) => bench::run(args),
            Self::Launch(args) => launch::run(args),
            #[cfg(feature = "train")]
            Self::Sbatch(args) => sbatch::run(&args),
            #[cfg(feature = "train")]
            Self::Sweep(args) => sweep::run(args),
            Self::Watch(args) => watch::run(&args),
            Self::Logits(args) => logits::run(args),
        }
    }
}

/// Print help, or what is wrong with the arguments, and end the process: with those that it was to do the command with, if
/// the others can.
fn refuse(error: &clap::Error) -> ! {
    let command = env::args_os().nth(1).unwrap_or_default();
    let left_out = OPTIONAL.iter().find(|(name, _)| command == *name);
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some((name, feature)) = left_out
    {
        failure::tell(&with_hint(
            format!("`itera {name}` is not in this build"),
            format!("build with --features {feature}"),
        ));
        exit(error.exit_code());
    }
    let is_common = TOGETHER.iter().any(|name| command == *name);
    if error.exit_code() == 0 || !is_common {
        error.exit();
    }
    ranks::refuse(error.exit_code(), || talk::insist(format_args!("{}", error.render().to_string().trim_end())))
}

/// A number below zero is a value, which its option may refuse, and not the name of an option.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let allow = |arg: clap::Arg| match !arg.is_positional() && arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    command.mut_args(allow).mut_subcommands(with_negative_numbers)
}
