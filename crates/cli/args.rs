//! The command line: what `--help` shows.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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

Exit codes: 0 done, 1 failed, 2 wrong usage; 128 + the signal's number when SIGINT, SIGTERM or SIGUSR1 stopped
training and it is saved (130, 143, and 138 on Linux)."
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model: text in, checkpoint out.
    Train(Train),
    /// Score held-out documents in full: nats a token, bits per byte, perplexity.
    Eval(Eval),
    /// Continue prompts.
    Generate(Generate),
    /// Show every tensor of a configuration, parameters, bytes and FLOPs a token.
    Model(Model),
    /// Show what a configuration's corpus holds: documents, bytes, tokens, splits, samples.
    Data(Data),
    /// Show what this machine has and can do.
    Doctor(Doctor),
    /// Measure speed.
    #[command(subcommand)]
    Bench(Bench),
    /// Print the logits of a text, for comparison with other implementations.
    Logits(Logits),
}

/// A configuration file and changes to it.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML); every key is described in configs/reference.toml.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Change a key: --set train.lr=3e-4 (may be given again).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Where a command computes.
#[derive(Debug, clap::Args)]
pub struct DeviceArgs {
    /// Device, one of those compiled in (see `itera doctor`).
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Worker threads; 0 uses every core. Results do not depend on it.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera train --config configs/quickstart.toml
  itera train --config configs/tinystories.toml --set data.source=stories.txt --set run.dir=runs/mine
  itera train --config configs/tiny.toml --resume       go on where the last checkpoint was saved

SIGINT (Ctrl-C), SIGTERM and SIGUSR1 finish the step, save, and exit with 130, 143 or 138;
the same command with --resume then continues to the same bytes as an uninterrupted run.")]
pub struct Train {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Continue from the run's last checkpoint, or from CHECKPOINT; starts at step 0 if there is none yet.
    #[arg(long, value_name = "CHECKPOINT", num_args = 0..=1, conflicts_with = "overwrite")]
    pub resume: Option<Option<PathBuf>>,
    /// Remove the checkpoints that the run directory already holds and start anew.
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera eval runs/quickstart                       the held-out split of the run's own corpus
  itera eval runs/quickstart --data stories.txt    any .txt, .jsonl or .parquet
  itera eval runs/quickstart/last --json

Each document is scored in full and on its own: every token, and the end of the document.")]
pub struct Eval {
    /// A run, a checkpoint, or a Hugging Face directory of the family.
    pub path: PathBuf,
    /// Documents to score instead of the run's held-out split (path, glob or hub:…; may be given again).
    #[arg(long, value_name = "SOURCE")]
    pub data: Vec<String>,
    /// Which split of the run's corpus.
    #[arg(long, value_enum, default_value = "valid", conflicts_with = "data")]
    pub split: Split,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Split {
    Train,
    Valid,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera generate runs/quickstart --prompt \"Once upon a time\"
  itera generate runs/quickstart -p \"The dog\" -p \"The cat\" --temperature 0
  itera generate runs/quickstart --prompts-file prompts.txt --json --stop \"The end.\"")]
pub struct Generate {
    /// A run, a checkpoint, or a Hugging Face directory of the family.
    pub path: PathBuf,
    /// Text to continue (may be given again).
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Vec<String>,
    /// File with one prompt a line.
    #[arg(long, value_name = "FILE")]
    pub prompts_file: Option<PathBuf>,
    /// Most tokens to write.
    #[arg(short = 'n', long, default_value_t = 200)]
    pub max_tokens: usize,
    /// Divides the logits; 0 always takes the most likely token.
    #[arg(short, long, default_value_t = 0.8, value_parser = temperature)]
    pub temperature: f64,
    /// Keep the k most likely tokens; 0 keeps all.
    #[arg(long, default_value_t = 0)]
    pub top_k: usize,
    /// Keep the fewest most likely tokens that hold this much probability.
    #[arg(long, default_value_t = 1.0, value_parser = top_p)]
    pub top_p: f64,
    /// Make tokens that are already in the text less likely; 1 is off.
    #[arg(long, default_value_t = 1.0, value_parser = repetition_penalty)]
    pub repetition_penalty: f64,
    /// Seed of the choices.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Stop before this text (may be given again).
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Print one JSON object a prompt, when it is done.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

fn temperature(text: &str) -> Result<f64, String> {
    within(text, 0.0..=1e3, "a number from 0 (greedy) to 1000")
}

fn top_p(text: &str) -> Result<f64, String> {
    within(text, f64::MIN_POSITIVE..=1.0, "a probability above 0 and at most 1")
}

fn repetition_penalty(text: &str) -> Result<f64, String> {
    within(text, 0.01..=100.0, "a factor from 0.01 to 100, where 1 is off")
}

fn within(text: &str, range: std::ops::RangeInclusive<f64>, what: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| format!("expected {what}"))
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  itera model --config configs/tiny.toml --set model.n_experts=8")]
pub struct Model {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  itera data --config configs/quickstart.toml --samples 3")]
pub struct Data {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Documents to show.
    #[arg(long, default_value_t = 3)]
    pub samples: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Measure training steps: tokens a second, time by phase, share of the processor's peak, memory.
    Train(BenchTrain),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera bench train --config configs/bench-tiny.toml
  itera bench train --config configs/bench-tiny.toml --set train.batch_size=4 --set train.seq_len=1024
  itera bench train --config configs/bench-tiny.toml --threads 1 --json

Steps are those of `itera train`, on the configured data: forward, losses, backward, clipping, AdamW, and a row of
metrics each. Nothing is validated, and nothing is left behind but the cache of tokens. Measure on an idle machine.")]
pub struct BenchTrain {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Steps to measure.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
    /// Steps before those, to warm up.
    #[arg(long, default_value_t = 2)]
    pub warmup: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, clap::Args)]
pub struct Logits {
    /// A run, a checkpoint, or a Hugging Face directory of the family.
    pub path: PathBuf,
    /// The text; it follows the token that starts a document.
    #[arg(long)]
    pub text: String,
    /// Print one JSON object: {"ids": [...], "logits": [[...], ...]}.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}
