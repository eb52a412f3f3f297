//! `itera eval`

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use itera_checkpoint::run_of;
use itera_config::{Config, DataConfig};
use itera_data::Document;

use crate::{args, opened};

pub fn run(args: args::Eval) -> Result<ExitCode> {
    let opened = opened::open(&args.path, &args.run)?;
    let documents = documents(&args.data, args.split, &opened.path)?;
    let texts: Vec<&str> = documents.iter().map(|document| document.text()).collect();

    let bar = indicatif::ProgressBar::new(texts.len() as u64); // hidden unless standard error is a terminal
    let started = Instant::now();
    let score = opened.model.score_documents(&opened.tokenizer, &texts, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let tokens_per_s = score.tokens as f64 / started.elapsed().as_secs_f64();

    let mut out = io::stdout().lock();
    if args.json {
        let object = serde_json::json!({
            "model": opened.path.to_string_lossy(),
            "documents": texts.len(),
            "tokens": score.tokens,
            "bytes": score.bytes,
            "nats_per_token": score.nats_per_token(),
            "bits_per_byte": score.bits_per_byte(),
            "perplexity": score.perplexity(),
            "tokens_per_s": tokens_per_s,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "model            {}", opened.path.display())?;
        writeln!(out, "documents        {}", texts.len())?;
        writeln!(out, "bytes            {}", score.bytes)?;
        writeln!(
            out,
            "tokens           {} ({:.3} bytes a token)",
            score.tokens,
            score.bytes as f64 / score.tokens as f64
        )?;
        writeln!(out, "nats per token   {:.4}", score.nats_per_token())?;
        writeln!(out, "bits per byte    {:.4}", score.bits_per_byte())?;
        writeln!(out, "perplexity       {:.3} (compare only under the same tokenizer)", score.perplexity())?;
        writeln!(out, "tokens/s         {tokens_per_s:.0}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The documents to score: those of `sources`, or if there are none a split of the corpus that the model's run was
/// trained on.
pub fn documents(sources: &[String], split: args::Split, model: &Path) -> Result<Vec<Document>> {
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
        args::Split::Train => corpus.train,
        args::Split::Valid => corpus.valid,
    })
}

/// The configuration of the run that a checkpoint lies in.
fn run_config(model: &Path) -> Result<Option<Config>> {
    let config = run_of(model).map(|run| run.join("config.toml")).filter(|path| path.is_file());
    Ok(config.map(|path| Config::load(&path, &[])).transpose()?)
}
