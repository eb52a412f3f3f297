//! `itera eval`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use itera_checkpoint::run_of;
use itera_config::{Config, DataConfig};
use itera_data::Document;
use itera_runtime::{Evaluation, Windows};
use serde::Serialize;

use crate::{
    opened::{self, RunArgs},
    output,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera eval runs/quickstart                       the held-out split of the run's own corpus
  itera eval runs/quickstart --data stories.txt    any .txt, .jsonl or .parquet
  itera eval runs/quickstart/last --json
  itera eval quickstart.gguf --data stories.txt    a model file has no corpus of its own
  itera eval quickstart-q8.gguf --data stories.txt --ubatch-size 1    by the arithmetic of `itera generate`

Each document is scored in full and on its own: every token, and the end of the document, given all before it in the
document. One that is longer than the model's context is scored in windows as long as the context, each half a context
further on, as in Hugging Face's guide to perplexity: all of the first window counts, of each further one the second
half, so that every token counts once, given half a context at least.")]
pub struct Args {
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

#[derive(Serialize)]
struct Findings {
    model: String,
    #[serde(flatten)]
    evaluation: Evaluation,
    tokens_per_s: f64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let opened = opened::open(&args.path, &args.run)?;
    let documents = documents(&args.data, args.split, &opened.path)?;
    let texts: Vec<&str> = documents.iter().map(|document| document.text()).collect();

    let bar = indicatif::ProgressBar::new(texts.len() as u64); // hidden unless standard error is a terminal
    let started = Instant::now();
    let evaluation = opened.model.score_documents(&opened.tokenizer, &texts, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let tokens_per_s = evaluation.score.tokens as f64 / started.elapsed().as_secs_f64();
    let findings = Findings { model: opened.name(), evaluation, tokens_per_s };
    output::show(&findings, args.json, Findings::print)
}

impl Findings {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Evaluation { documents, score, windows } = self.evaluation;
        writeln!(out, "model            {}", self.model)?;
        writeln!(out, "documents        {documents}")?;
        if let Some(windows) = windows {
            writeln!(out, "in windows       {}", told(&windows))?;
        }
        writeln!(out, "bytes            {}", score.bytes)?;
        let bytes_per_token = score.bytes as f64 / score.tokens as f64;
        writeln!(out, "tokens           {} ({bytes_per_token:.3} bytes a token)", score.tokens)?;
        writeln!(out, "nats per token   {:.4}", score.nats_per_token())?;
        writeln!(out, "bits per byte    {:.4}", score.bits_per_byte())?;
        writeln!(out, "perplexity       {:.3} (compare only under the same tokenizer)", score.perplexity())?;
        writeln!(out, "tokens/s         {:.0}", self.tokens_per_s)
    }
}

/// Which documents were scored in windows, and in what windows.
pub fn told(windows: &Windows) -> String {
    let Windows { documents, first, tokens, stride } = windows;
    let which = match documents {
        1 => format!("document {} is", first + 1),
        _ => format!("{documents} documents, the first of them document {}, are", first + 1),
    };
    format!("{which} longer than the context: windows of {tokens} tokens, each {stride} further")
}

/// The documents to score: those of `sources`, or if there are none a split of the corpus that the model's run was
/// trained on.
pub fn documents(sources: &[String], split: Split, model: &Path) -> Result<Vec<Document>> {
    let config = run_config(model)?;
    if !sources.is_empty() {
        let config = config.map_or_else(DataConfig::default, |config| config.data);
        return Ok(itera_data::load_documents(sources, &config)?);
    }
    let Some(config) = config else {
        bail!(
            "{} is not a run, so there is no held-out split of its own\nhint: say what to score with --data FILE",
            model.display()
        );
    };
    let corpus = itera_data::load_corpus(&config.data).context("cannot load the run's corpus")?;
    Ok(match split {
        Split::Train => corpus.train,
        Split::Valid => corpus.valid,
    })
}

/// The configuration of the run that a checkpoint lies in.
fn run_config(model: &Path) -> Result<Option<Config>> {
    let config = run_of(model).map(|run| run.join("config.toml")).filter(|path| path.is_file());
    Ok(config.map(|path| Config::load(&path, &[])).transpose()?)
}
