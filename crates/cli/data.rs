//! `itera data`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use itera_data::{SplitSummary, TokenSummary};

use crate::{args::ConfigArgs, setup};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  itera data --config configs/quickstart.toml --samples 3")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Documents to show.
    #[arg(long, default_value_t = 3)]
    samples: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let config = setup::config(&args.config)?;
    eprintln!("preparing {} …", config.data.source.join(", "));
    let data = itera_data::prepare(&config)?;
    let samples = data.samples(args.samples);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "summary": data.summary, "samples": samples }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let summary = &data.summary;
    let corpus = &summary.corpus;
    writeln!(out, "content     {}", summary.content_hash())?;
    writeln!(out, "tokenizer   {} entries, sha256 {}", summary.vocab_size, summary.tokenizer_sha256)?;
    print_split(&mut out, "training", &corpus.train, &summary.train)?;
    print_split(&mut out, "held out", &corpus.valid, &summary.valid)?;
    writeln!(
        out,
        "dropped     {} copies within a split, {} shared between splits, {} blank",
        corpus.duplicates_dropped, corpus.shared_dropped, corpus.blank_dropped
    )?;
    if corpus.is_capped {
        writeln!(out, "            training text ends at data.max_bytes")?;
    }
    if let Some(floor) = corpus.valid.floor_bpb {
        writeln!(
            out,
            "floor       {floor:.4} bits/byte of held-out text: what its author spent, no model can do better"
        )?;
    }
    for sample in samples {
        writeln!(out, "\n{}", sample.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_split(out: &mut impl Write, name: &str, split: &SplitSummary, tokens: &TokenSummary) -> io::Result<()> {
    writeln!(
        out,
        "{name:10}  {} documents, {} bytes, {} tokens, {:.3} bytes a token",
        split.documents, split.bytes, tokens.tokens, tokens.bytes_per_token
    )
}
