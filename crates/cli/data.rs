//! `itera data`

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::ProgressBar;
use itera_config::Config;
use itera_data::{Dataset, HubEnv, Progress, SplitSummary, TokenSummary};

use crate::{
    args::{ConfigArgs, count},
    documents::LeftOut,
    setup,
    talk::say,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera data --config configs/quickstart.toml --samples 3
  itera data --config configs/tinystories.toml --set data.source=stories.jsonl.gz --json")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Documents to show.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = count::<usize>)]
    samples: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let config = setup::config(&args.config)?;
    let data = prepare(&config)?;
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
    if corpus.bad_records_skipped + corpus.empty_files_dropped > 0 {
        writeln!(
            out,
            "            {} records without a text, {} files without any",
            corpus.bad_records_skipped, corpus.empty_files_dropped
        )?;
    }
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
    )?;
    match tokens.unknown_bytes {
        0 => Ok(()),
        unknown => writeln!(out, "            {unknown} bytes have no token"),
    }
}

/// The data of a configuration; what takes long is told on standard error.
pub fn prepare(config: &Config) -> Result<Dataset> {
    say!("preparing {} …", config.data.source.join(", "));
    let mut teller = Teller { bar: ProgressBar::new_spinner(), told: Instant::now() };
    let data = itera_data::prepare_from(config, &HubEnv::from_env(), &mut |progress| teller.tell(progress));
    teller.bar.finish_and_clear();
    let data = data?;
    let left_out = LeftOut::of(&data.summary.corpus);
    if !left_out.is_nothing() {
        say!("left out: {left_out}");
    }
    let TokenSummary { unknown_bytes: train, .. } = data.summary.train;
    let TokenSummary { unknown_bytes: valid, .. } = data.summary.valid;
    if train + valid > 0 {
        say!(
            "bytes without a token: {train} to train on, {valid} held out, at 8 bits each beside those of the unknown token"
        );
    }
    Ok(data)
}

/// Tells how far the preparation is: a line that changes on a terminal, now and then a new one in a log.
struct Teller {
    /// Hidden unless standard error is a terminal.
    bar: ProgressBar,
    told: Instant,
}

impl Teller {
    fn tell(&mut self, progress: Progress) {
        let pause = if self.bar.is_hidden() { Duration::from_secs(10) } else { Duration::from_millis(200) };
        if self.told.elapsed() < pause {
            return;
        }
        self.told = Instant::now();
        let text = match progress {
            Progress::Reading { documents, bytes } => format!("read {documents} documents, {} MB", bytes / 1_000_000),
            Progress::Vocabulary { entries, of } => format!("vocabulary: {entries} of {of} entries"),
            Progress::Tokenising { documents, of } => format!("tokenised {documents} of {of} documents"),
            _ => return,
        };
        if self.bar.is_hidden() {
            say!("{text}");
        } else {
            self.bar.set_message(text);
            self.bar.tick();
        }
    }
}
