//! Options that several commands take.

use std::path::PathBuf;

use clap::Subcommand;

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

/// How a trained model is run.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Worker threads; 0 uses every core. Results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Multiply 8- and 4-bit weights by activations as they are, not rounded to 8 bits: slower.
    #[arg(long)]
    pub exact: bool,
    /// Tokens of a text that are read together, by exact activations; 1 reads them one by one, as they are written.
    #[arg(long, value_name = "N", default_value_t = itera_runtime::Model::CHUNK, value_parser = at_least_one)]
    pub ubatch_size: usize,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera eval runs/quickstart                       the held-out split of the run's own corpus
  itera eval runs/quickstart --data stories.txt    any .txt, .jsonl or .parquet
  itera eval runs/quickstart/last --json
  itera eval quickstart.gguf --data stories.txt    a model file has no corpus of its own
  itera eval quickstart-q8.gguf --data stories.txt --ubatch-size 1    by the arithmetic of `itera generate`

Each document is scored in full and on its own: every token, and the end of the document.")]
pub struct Eval {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
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
    pub run: RunArgs,
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
  itera generate quickstart.gguf --min-p 0.1
  itera generate runs/quickstart -p \"The dog\" -p \"The cat\" --temperature 0
  itera generate runs/quickstart --prompts-file prompts.txt --json --stop \"The end.\"")]
pub struct Generate {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
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
    /// Keep tokens at least this likely, relative to the most likely one; 0 keeps all.
    #[arg(long, default_value_t = 0.0, value_parser = min_p)]
    pub min_p: f64,
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
    pub run: RunArgs,
}

fn temperature(text: &str) -> Result<f64, String> {
    within(text, 0.0..=1e3, "a number from 0 (greedy) to 1000")
}

fn top_p(text: &str) -> Result<f64, String> {
    within(text, f64::MIN_POSITIVE..=1.0, "a probability above 0 and at most 1")
}

fn min_p(text: &str) -> Result<f64, String> {
    within(text, 0.0..=1.0, "a share from 0 (off) to 1")
}

fn repetition_penalty(text: &str) -> Result<f64, String> {
    within(text, 0.01..=100.0, "a factor from 0.01 to 100, where 1 is off")
}

fn within(text: &str, range: std::ops::RangeInclusive<f64>, what: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| format!("expected {what}"))
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  itera compare runs/quickstart runs/quickstart-int4/*.gguf --data stories.txt

The first model is the one that the others are compared with; of a run or directory, its weights alone count. Speed and
memory are measured in a process of its own for each model, on one thread.")]
pub struct Compare {
    /// Runs, checkpoints, Hugging Face directories or GGUF files; the first is the baseline.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Documents to score on; without, the held-out split of the first model's run.
    #[arg(long, value_name = "SOURCE")]
    pub data: Vec<String>,
    /// What the samples begin with.
    #[arg(long, value_name = "TEXT", default_value = "Once upon a time")]
    pub prompt: String,
    /// Samples of each model, from the same seeds.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub samples: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

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
pub struct Bench {
    #[command(subcommand)]
    pub what: Option<BenchWhat>,
    #[command(flatten)]
    pub model: Option<BenchModel>,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub enum BenchWhat {
    /// Measure training steps: tokens a second, time by phase, share of the processor's peak, memory.
    Train(BenchTrain),
}

#[derive(Debug, clap::Args)]
pub struct BenchModel {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
    pub path: PathBuf,
    /// Another one to take turns with.
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,
    /// Tokens of the prompt.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub prompt_tokens: usize,
    /// Tokens to write after it.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    pub tokens: usize,
    /// Texts to write at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub streams: usize,
    /// Times that all is measured, after once that does not count.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub repeats: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a whole number from 1".into())
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
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
    pub path: PathBuf,
    /// The text; it follows the token that starts a document.
    #[arg(long)]
    pub text: String,
    /// Print one JSON object: {"ids": [...], "logits": [[...], ...]}.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}
