//! `itera rerank`

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use serde::Serialize;

use crate::{
    embedder::lines,
    hints::with_hint,
    opened::{self, RunArgs},
    output,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera rerank runs/quickstart --query 'Once upon a time there was a dog.' endings.txt
  itera rerank quickstart.gguf --query \"$(cat beginning.txt)\" endings.txt --top 5 --json

A text's score is what the query tells the model about it: log p(text | query) − log p(text), in nats. It is above 0 where the
text is likelier behind the query than alone, and grows with the length of a text that fits. The model is not trained for it.")]
pub struct Args {
    /// A run, a checkpoint, a directory of the family, or a GGUF file.
    model: PathBuf,
    /// What the texts are to follow.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    query: String,
    /// Texts, one a line; - is standard input.
    texts: PathBuf,
    /// Show the best N alone.
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Serialize)]
struct Ranking {
    query: String,
    texts: Vec<Ranked>,
}

#[derive(Serialize)]
struct Ranked {
    /// Line of the file, from 1.
    line: usize,
    /// Nats.
    score: f64,
    text: String,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let opened = opened::open(&args.model, &args.run)?;
    let texts: Vec<(usize, String)> = (1..)
        .zip(lines(&args.texts)?)
        .map(|(line, text)| Ok((line, text?)))
        .filter(|line| line.as_ref().map_or(true, |(_, text)| !text.is_empty()))
        .collect::<Result<_>>()?;
    if texts.is_empty() {
        return Err(with_hint(format!("{} has no text", args.texts.display()), "a text is a line"));
    }
    let scores = {
        let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
        opened.model.likelihood_ratios(&opened.tokenizer, &args.query, &texts)?
    };
    let mut ranked: Vec<Ranked> =
        texts.into_iter().zip(scores).map(|((line, text), score)| Ranked { line, score, text }).collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.line.cmp(&b.line)));
    ranked.truncate(args.top.unwrap_or(usize::MAX));
    output::show(&Ranking { query: args.query, texts: ranked }, args.json, Ranking::print)
}

impl Ranking {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        self.texts.iter().try_for_each(|Ranked { line, score, text }| writeln!(out, "{score:>9.3}  {line:>5}  {text}"))
    }
}
