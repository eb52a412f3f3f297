//! `itera logits`

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use itera_tokenizer::TokenId;
use serde::Serialize;

use crate::{
    opened::{self, RunArgs},
    output,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  itera logits runs/quickstart --text \"Once upon\" --json")]
pub struct Args {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
    pub path: PathBuf,
    /// The text; it follows the token that starts a document.
    #[arg(long, allow_hyphen_values = true)]
    pub text: String,
    /// Print one JSON object: {"ids": [...], "logits": [[...], ...]}.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Serialize)]
struct Logits<'a> {
    ids: &'a [TokenId],
    /// [l, v]
    logits: Vec<&'a [f32]>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let opened = opened::open(&args.path, &args.run)?;
    let (model, tokenizer) = (&opened.model, &opened.tokenizer);
    let ids: Vec<TokenId> = [tokenizer.bos()].into_iter().chain(tokenizer.encode(&args.text)).collect();
    let mut logits = Vec::new();
    model
        .prefill_all(&mut model.new_state(), &ids, &mut model.workspace(), |_, rows| logits.extend_from_slice(rows))?;
    let found = Logits { ids: &ids, logits: logits.chunks(model.config().vocab_size).collect() };
    output::show(&found, args.json, print)
}

fn print(found: &Logits<'_>, out: &mut dyn Write) -> io::Result<()> {
    for (id, row) in found.ids.iter().zip(&found.logits) {
        let best = (0..).zip(*row).max_by(|a, b| a.1.total_cmp(b.1)).map(|(next, _)| next).unwrap_or(0);
        writeln!(out, "{id:>6}  → {best:>6}  logit {:.5}", row[best])?;
    }
    Ok(())
}
