//! `itera eval`

use std::{
    io::{self, Write},
    ops::ControlFlow,
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::Result;
use itera_kernels::simd::asked_level;
use itera_runtime::{DocumentScore, Evaluation, Score, Windows};
use serde::Serialize;

use crate::{
    args::WatchArgs,
    documents::{DataArgs, Documents, Found, Split},
    embedder::EmbedArgs,
    hints::with_hint,
    opened::{self, RunArgs},
    output,
    ranks::{Team, together},
    shares::share_out,
    similarity::{self, Scored},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera eval runs/quickstart                       the held-out split of the run's own corpus
  itera eval runs/quickstart --data stories.txt    or .jsonl, .json, .csv, .parquet, .gz, .zst, a directory
  itera eval runs/quickstart/last --json
  itera eval quickstart.gguf --data stories.txt    a model file has no corpus of its own
  itera eval quickstart-q8.gguf --data stories.txt --ubatch-size 1    by the arithmetic of `itera generate`
  itera eval all-MiniLM-L6-v2 --pairs sts-test.tsv    Spearman of cosines and scores, by vectors
  itera eval runs/quickstart --retrieval halves.tsv   recall at 10 in f32, int8 and bits, of all and fewer dimensions
  itera launch -n 4 -- eval runs/tiny              by several processes, with the same result; or by srun, mpiexec …

Each document is scored in full and on its own: every token, and the end of the document, after all of the document that
comes before it. A document that is longer than the model's context is scored in windows as long as the context, each
half a context after the one before, as in Hugging Face's guide to perplexity. The first window counts in full, each
further one with its second half: every token counts once, after at least half a context.

A byte that the tokenizer has no token for (tokenizer.alphabet = \"text\") costs the bits of the unknown token that stands in
its place, and 8 more, because that token does not say which byte it was.

Blank documents and copies of others are left out, as they are in training.")]
pub struct Args {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file; of vectors a directory of the BERT family too.
    pub path: PathBuf,
    #[command(flatten)]
    pub data: DataArgs,
    /// Score vectors instead: pairs of texts and how alike people find them, columns between tabs (STS benchmark).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "retrieval", "split"])]
    pub pairs: Option<PathBuf>,
    /// Score vectors instead: a text and the one to be found by it, columns between tabs; a table of storages.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "split"])]
    pub retrieval: Option<PathBuf>,
    #[command(flatten)]
    pub embed: EmbedArgs,
    /// Which split of the run's corpus.
    #[arg(long, value_enum, default_value = "valid", conflicts_with = "data")]
    pub split: Split,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Serialize)]
struct Findings {
    model: String,
    #[serde(flatten)]
    evaluation: Evaluation,
    /// Absent for a split of the run's own corpus.
    data: Option<Found>,
    tokens_per_s: f64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    if args.pairs.is_none() && args.retrieval.is_none() && (args.embed.pool.is_some() || args.embed.dims.is_some()) {
        return Err(with_hint(
            "--pool and --dims are of vectors",
            "say what they are scored on with --pairs or --retrieval",
        ));
    }
    together(args.watch.watchdog, |team| run_in(args, team))
}

fn run_in(mut args: Args, team: Option<&Team<'_>>) -> Result<ExitCode> {
    asked_level()?;
    if let Some(team) = team {
        let files = args.pairs.iter().chain(&args.retrieval).filter_map(|file| file.to_str());
        if files.chain(args.data.data.iter().map(String::as_str)).any(|source| source == "-") {
            return Err(with_hint("standard input is that of one process", "name a file that all hosts see"));
        }
        if args.run.threads == 0 {
            args.run.threads = team.threads();
        }
    }
    let vectors = Scored { model: &args.path, embed: &args.embed, run: &args.run, team, json: args.json };
    if let Some(pairs) = &args.pairs {
        return similarity::pairs(&vectors, pairs);
    }
    if let Some(pairs) = &args.retrieval {
        return similarity::retrieval(&vectors, pairs);
    }
    documents(&args, team)
}

fn documents(args: &Args, team: Option<&Team<'_>>) -> Result<ExitCode> {
    let opened = opened::open(&args.path, &args.run)?;
    // sources of a hub leave a cache behind
    let documents = Team::in_turns(team, || Documents::load(&args.data, args.split, &opened.path))?;

    let started = Instant::now();
    let scores = share_out(team, &opened.path, &args.run, &documents.texts(), SCORE_BYTES, |texts| {
        let bar = indicatif::ProgressBar::new(texts.len() as u64); // hidden unless standard error is a terminal
        let on_done = || {
            bar.inc(1);
            ControlFlow::Continue(())
        };
        let scores = opened.model.score_each(&opened.tokenizer, texts, &on_done)?.expect("nothing breaks it off");
        bar.finish_and_clear();
        Ok(scores.iter().flat_map(to_bytes).collect())
    })?;
    let scores: Vec<DocumentScore> = scores.as_chunks().0.iter().map(from_bytes).collect();
    let evaluation = opened.model.evaluation(&scores);
    let tokens_per_s = evaluation.score.tokens as f64 / started.elapsed().as_secs_f64();
    let findings = Findings { model: opened.name(), evaluation, data: documents.found, tokens_per_s };
    output::show_once(team, &findings, args.json, Findings::print)
}

/// A score as ranks tell it: nats, tokens, bytes, unknown bytes, and 1 for one in windows.
const SCORE_BYTES: usize = 5 * size_of::<u64>();

fn to_bytes(DocumentScore { score, in_windows }: &DocumentScore) -> [u8; SCORE_BYTES] {
    let Score { nats, tokens, bytes, unknown_bytes } = *score;
    let words = [nats.to_bits(), tokens, bytes, unknown_bytes, (*in_windows).into()];
    let mut all = [0; SCORE_BYTES];
    all.as_chunks_mut().0.iter_mut().zip(words).for_each(|(to, word)| *to = word.to_le_bytes());
    all
}

fn from_bytes(all: &[u8; SCORE_BYTES]) -> DocumentScore {
    let word = |at: usize| u64::from_le_bytes(all.as_chunks().0[at]);
    let score = Score { nats: f64::from_bits(word(0)), tokens: word(1), bytes: word(2), unknown_bytes: word(3) };
    DocumentScore { score, in_windows: word(4) != 0 }
}

impl Findings {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Evaluation { documents, score, windows } = self.evaluation;
        writeln!(out, "model            {}", self.model)?;
        let found = self.data.as_ref().map_or(String::new(), |found| format!(" ({found})"));
        writeln!(out, "documents        {documents}{found}")?;
        if let Some(windows) = windows {
            writeln!(out, "in windows       {}", told(&windows))?;
        }
        writeln!(out, "bytes            {}", score.bytes)?;
        if score.unknown_bytes > 0 {
            writeln!(out, "unknown bytes    {}", told_unknown(score.unknown_bytes))?;
        }
        let bytes_per_token = score.bytes as f64 / score.tokens as f64;
        writeln!(out, "tokens           {} ({bytes_per_token:.3} bytes a token)", score.tokens)?;
        writeln!(out, "nats per token   {:.4}", score.nats_per_token())?;
        writeln!(out, "bits per byte    {:.4}", score.bits_per_byte())?;
        writeln!(out, "perplexity       {:.3} (compare only under the same tokenizer)", score.perplexity())?;
        writeln!(out, "tokens/s         {:.0}", self.tokens_per_s)
    }
}

/// How many bytes the tokenizer has no token for, and what they cost.
pub fn told_unknown(bytes: u64) -> String {
    let which = if bytes == 1 { "1 byte has".to_owned() } else { format!("{bytes} bytes have") };
    format!("{which} no token: 8 bits each, beside those of the unknown token")
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
