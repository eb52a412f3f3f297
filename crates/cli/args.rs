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
  itera export runs/quickstart --dtype q8_0 -o quickstart.gguf
  itera compress --recipe int4 runs/quickstart
  itera generate quickstart.gguf --prompt \"Once upon a time\"

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
    /// Write a model as one GGUF file, which llama.cpp runs too, or as a Hugging Face directory.
    Export(Export),
    /// Make a trained run small by a recipe, and report what that costs.
    Compress(Compress),
    /// Set models beside each other: bytes, bits per byte, speed, memory, samples.
    Compare(Compare),
    /// Show what a model file or directory holds: metadata, tensors, tokenizer, sizes.
    Inspect(Inspect),
    /// Show every tensor of a configuration, parameters, bytes and FLOPs a token.
    Model(Model),
    /// Show what a configuration's corpus holds: documents, bytes, tokens, splits, samples.
    Data(Data),
    /// Show what this machine has and can do.
    Doctor(Doctor),
    /// Measure the speed of a model, or of training.
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

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera export runs/quickstart -o quickstart.gguf
  itera export runs/quickstart --dtype q8_0 -o quickstart-q8.gguf
  itera export runs/quickstart/last --format hf --dtype bf16 -o quickstart-bf16
  itera export runs/quickstart --format hf --dtype fp8 -o quickstart-fp8
  itera export quickstart.gguf --format hf -o quickstart-hf                  back to a directory

Matrices are stored as asked; norms, convolutions, routers and other small weights stay f32. What is written appears
whole or not at all. A Hugging Face directory holds f32, f16, bf16, fp8 or int4. What a file has rounded already is
taken as it is; rounding it again loses a little more.")]
pub struct Export {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
    pub path: PathBuf,
    /// The file or directory to write.
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value = "gguf")]
    pub format: Format,
    /// How the numbers of matrices are stored.
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: Dtype,
    /// Write also what llama.cpp cannot run.
    #[arg(long)]
    pub allow_unsupported: bool,
    /// Replace what is there.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One file, tokenizer included; llama.cpp runs it.
    Gguf,
    /// A directory that `transformers` opens.
    Hf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
    /// 8.5 bits a number; GGUF alone has it.
    #[value(name = "q8_0")]
    Q8_0,
    /// 8-bit floats (E4M3), in the layout of compressed-tensors; a directory alone has it.
    Fp8,
    /// Linear modules in 4.5 bits a number, other matrices in fp8, in the same layout.
    Int4,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera compress --list                                     the recipes, a line each
  itera compress --recipe int4 runs/quickstart --dry-run    what it would do, and the size to the byte
  itera compress --recipe int4 runs/quickstart              writes runs/quickstart-int4
  itera compress --recipe mine.toml runs/tiny -o out --data valid.txt

A recipe is a TOML file of stages; docs/compression.md describes them. SIGINT, SIGTERM and SIGUSR1 save a stage that
trains; the same command with --resume goes on.")]
pub struct Compress {
    /// A run, or a checkpoint of one.
    #[arg(required_unless_present = "list")]
    pub path: Option<PathBuf>,
    /// A builtin recipe, or the path of a TOML file.
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "list")]
    pub recipe: Option<String>,
    /// The directory to write; the run's, with the recipe's name behind it, if not given.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Documents to score on instead of the run's held-out split (path, glob or hub:…; may be given again).
    #[arg(long, value_name = "SOURCE")]
    pub data: Vec<String>,
    /// Change a key of the run's configuration: --set data.source=stories.txt (may be given again).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Show the builtin recipes.
    #[arg(long)]
    pub list: bool,
    /// Show what would be done, and the size of the result, to the byte.
    #[arg(long)]
    pub dry_run: bool,
    /// Go on where an earlier call was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace what an earlier call wrote.
    #[arg(long)]
    pub overwrite: bool,
    /// Write also what llama.cpp cannot run.
    #[arg(long)]
    pub allow_unsupported: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
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
#[command(after_help = "Example:\n  itera inspect quickstart.gguf")]
pub struct Inspect {
    /// A GGUF file of any architecture, a Hugging Face directory, a checkpoint, or a run.
    pub path: PathBuf,
    /// Print one JSON object; of long lists in GGUF metadata it has the first items and their number.
    #[arg(long)]
    pub json: bool,
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
