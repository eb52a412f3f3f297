//! `itera compare`
//!
//! ```text
//! each model: scored here, then `itera bench` in a process of its own: speed, memory → one table, samples below it
//! ```

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use itera_checkpoint::find_model;
use itera_files::write_atomic;
use itera_formats::Listing;
use itera_metrics::html::{Dot, frontier};
use itera_runtime::{Batch, RuntimeError, Sampler, SamplingConfig, Text, Windows};
use serde::Serialize;

use crate::{
    args::count,
    documents::{DataArgs, Documents, Found, Split},
    eval,
    opened::{self, Opened, RunArgs},
    output,
    quantize::is_foreign,
    setup,
    talk::say,
    weights,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera compare runs/quickstart runs/quickstart-int4/*.gguf --data stories.txt
  itera compare checkpoints/*.gguf --data stories.txt --peer stories260K=1056540:0.905 --plot frontier.svg --markdown
  itera compare some/model some/model-nvfp4     two directories that are no runs: each tensor's kind, bytes, error, worst block

All are compared with the first model. The bytes of a run or directory are those of its weights. Speed and memory of each
model are measured in a process of its own, on one thread.

Of two directories of any family, without --data, the weights are compared: the error is the Frobenius norm of the difference
over that of the first, and a block is what shares a scale, a row where nothing does.")]
pub struct Args {
    /// Runs, checkpoints, Hugging Face directories or GGUF files; the first is the baseline.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub data: DataArgs,
    /// Prompt of the samples.
    #[arg(long, value_name = "TEXT", default_value = "Once upon a time", allow_hyphen_values = true)]
    pub prompt: String,
    /// Samples of each model; the seeds are the same for all.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count::<u64>)]
    pub samples: u64,
    /// A model that was measured elsewhere, as its bytes and bits per byte (may be given again).
    #[arg(long = "peer", value_name = "NAME=BYTES:BITS", value_parser = peer)]
    pub peers: Vec<Peer>,
    /// Draw bytes against bits per byte into an SVG file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Print the table as Markdown, without samples.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

/// What is known of a model that was measured elsewhere.
#[derive(Clone, Debug, Serialize)]
pub struct Peer {
    name: String,
    size_bytes: u64,
    bits_per_byte: f64,
}

/// Parses `stories260K=1056540:0.905`.
fn peer(text: &str) -> Result<Peer, String> {
    let parts = text.rsplit_once('=').and_then(|(name, numbers)| Some((name, numbers.split_once(':')?)));
    let peer = parts.and_then(|(name, (bytes, bits))| {
        let peer = Peer { name: name.into(), size_bytes: bytes.parse().ok()?, bits_per_byte: bits.parse().ok()? };
        (!name.is_empty() && peer.size_bytes > 0 && peer.bits_per_byte.is_finite()).then_some(peer)
    });
    peer.ok_or_else(|| "expected a name, bytes and bits per byte, as in stories260K=1056540:0.905".into())
}

/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 60;

/// All that is set beside each other.
#[derive(Serialize)]
struct Comparison {
    documents: usize,
    /// Absent for the split of a run's own corpus.
    data: Option<Found>,
    models: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peers: Vec<Peer>,
}

/// A model and what was measured of it.
#[derive(Serialize)]
struct Row {
    path: String,
    /// Of the file or directory; for the baseline, of its weights alone.
    size_bytes: u64,
    times_smaller: f64,
    bits_per_byte: f64,
    /// How documents were scored that are longer than its context.
    windows: Option<Windows>,
    /// Bytes that its tokenizer has no token for: each cost 8 bits beside those of the unknown token.
    #[serde(skip_serializing_if = "is_zero")]
    unknown_bytes: u64,
    loss_percent: f64,
    tokens_per_s: f64,
    /// Most that a process held that ran it; absent where the system does not tell.
    resident_mb: Option<f64>,
    samples: Vec<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

pub fn run(args: Args) -> Result<ExitCode> {
    if let ([source, out], true) = (&args.paths[..], args.data.data.is_empty())
        && [source, out].into_iter().all(|path| is_foreign(path))
    {
        return weights::run(source, out, args.json);
    }
    setup::threads(args.run.threads)?;
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| find_model(path)).collect::<Result<_, _>>()?;
    let Some(first) = paths.first() else { bail!("there is nothing to compare") };
    let documents = Documents::load(&args.data, Split::Valid, first)?;
    let texts = documents.texts();

    let mut rows: Vec<Row> = vec![];
    for path in &paths {
        say!("measuring {} …", path.display());
        let opened = opened::load(path, &args.run)?;
        opened.model.file().check_finite()?;
        let evaluation = opened.model.score_documents(&opened.tokenizer, &texts, &|| {})?;
        let bits_per_byte = evaluation.score.bits_per_byte();
        let (tokens_per_s, resident_mb) = bench(path, &args.run)?;
        let Listing { file_bytes, weight_bytes, .. } = Listing::of(path)?;
        let size_bytes = if rows.is_empty() { weight_bytes } else { file_bytes };
        let (baseline_bytes, baseline_bpb) =
            rows.first().map_or((size_bytes, bits_per_byte), |first| (first.size_bytes, first.bits_per_byte));
        rows.push(Row {
            path: opened.name(),
            size_bytes,
            times_smaller: baseline_bytes as f64 / size_bytes as f64,
            bits_per_byte,
            windows: evaluation.windows,
            unknown_bytes: evaluation.score.unknown_bytes,
            loss_percent: 100.0 * (bits_per_byte / baseline_bpb - 1.0),
            tokens_per_s,
            resident_mb,
            samples: if args.markdown { vec![] } else { samples(&opened, &args)? },
        });
    }
    let comparison = Comparison { documents: texts.len(), data: documents.found, models: rows, peers: args.peers };
    if let Some(path) = &args.plot {
        write_atomic(path, frontier(&comparison.dots())?.as_bytes())?;
    }
    let print = if args.markdown { Comparison::print_markdown } else { Comparison::print };
    output::show(&comparison, args.json, print)
}

/// Tokens a second of one text on one thread, and the most megabytes that were resident.
fn bench(path: &Path, run: &RunArgs) -> Result<(f64, Option<f64>)> {
    let program = env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.arg("bench").arg(path).args(["--json", "--threads", "1", "--streams", "1", "--repeats", "3"]);
    command.args(["--ubatch-size", &run.ubatch_size.to_string()]);
    if run.exact {
        command.arg("--exact");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot start `itera bench`")?;
    if !output.status.success() {
        bail!("`itera bench {}` failed", path.display());
    }
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).context("`itera bench` printed no JSON")?;
    let tokens_per_s = found["models"][0]["tokens_per_s"]["median"].as_f64().context("`itera bench` gave no speed")?;
    Ok((tokens_per_s, found["peak_resident_bytes"].as_f64().map(|bytes| bytes / 1e6)))
}

/// Continuations of the prompt from seeds 0, 1, …
fn samples(opened: &Opened, args: &Args) -> Result<Vec<String>> {
    let begin = |index| {
        let text = Text::new(&opened.model, &opened.tokenizer, &args.prompt)?;
        let sampler = Sampler::new(&SamplingConfig::default(), index);
        Ok(text.with_sampler(sampler).with_max_tokens(SAMPLE_TOKENS))
    };
    let texts = (0..args.samples).map(begin).collect::<Result<_, RuntimeError>>()?;
    let completions = Batch::new(&opened.model).complete(texts).into_iter();
    Ok(completions.map(|completion| format!("{}{}", args.prompt, completion.text)).collect())
}

impl Comparison {
    /// The models, by the names of their files, and the peers.
    fn dots(&self) -> Vec<Dot> {
        let ours = self.models.iter().map(|row| Dot {
            name: Path::new(&row.path).file_stem().map_or(row.path.clone(), |stem| stem.to_string_lossy().into_owned()),
            bytes: row.size_bytes,
            bits_per_byte: row.bits_per_byte,
            is_peer: false,
        });
        let peers = self.peers.iter().map(|peer| Dot {
            name: peer.name.clone(),
            bytes: peer.size_bytes,
            bits_per_byte: peer.bits_per_byte,
            is_peer: true,
        });
        ours.chain(peers).collect()
    }

    fn print_markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "| model | bytes | times smaller | bits per byte | change | tokens/s | resident |")?;
        writeln!(out, "|---|---|---|---|---|---|---|")?;
        for (row, dot) in self.models.iter().zip(self.dots()) {
            let Row { size_bytes, times_smaller, bits_per_byte, loss_percent, tokens_per_s, .. } = row;
            let resident = row.resident_mb.map_or("unknown".into(), |mb| format!("{mb:.1} MB"));
            writeln!(
                out,
                "| `{}` | {size_bytes} | {times_smaller:.2} | {bits_per_byte:.4} | {loss_percent:+.2} % | {tokens_per_s:.0} | {resident} |",
                dot.name
            )?;
        }
        for Peer { name, size_bytes, bits_per_byte } in &self.peers {
            writeln!(out, "| {name} | {size_bytes} | | {bits_per_byte:.4} | | | |")?;
        }
        let found = self.data.as_ref().map_or(String::new(), |found| format!(": {found}"));
        writeln!(out, "\n{} documents{found}", self.documents)
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = &self.models;
        let names = rows.iter().map(|row| &row.path).chain(self.peers.iter().map(|peer| &peer.name));
        let width = names.map(String::len).max().unwrap_or(0);
        writeln!(
            out,
            "{:width$} {:>10} {:>8} {:>10} {:>9} {:>10} {:>9}",
            "model", "bytes", "smaller", "bits/byte", "change", "tokens/s", "resident"
        )?;
        for row in rows {
            let Row { path, size_bytes, times_smaller, bits_per_byte, loss_percent, tokens_per_s, .. } = row;
            let resident = row.resident_mb.map_or("unknown".into(), |mb| format!("{mb:.1} MB"));
            writeln!(
                out,
                "{path:width$} {size_bytes:>10} {times_smaller:>7.2}× {bits_per_byte:>10.4} {loss_percent:>+7.2} % {tokens_per_s:>10.0} {resident:>9}"
            )?;
        }
        for Peer { name, size_bytes, bits_per_byte } in &self.peers {
            writeln!(out, "{name:width$} {size_bytes:>10} {:>8} {bits_per_byte:>10.4}", "")?;
        }
        if let Some(found) = &self.data {
            writeln!(out, "{} documents: {found}", self.documents)?;
        }
        for (row, windows) in rows.iter().filter_map(|row| Some((row, row.windows?))) {
            writeln!(out, "{}: {}", row.path, eval::told(&windows))?;
        }
        for row in rows.iter().filter(|row| row.unknown_bytes > 0) {
            writeln!(out, "{}: {}", row.path, eval::told_unknown(row.unknown_bytes))?;
        }
        for row in rows {
            for (seed, text) in row.samples.iter().enumerate() {
                writeln!(out, "\n{}, seed {seed}:\n{}", row.path, text.trim_end())?;
            }
        }
        Ok(())
    }
}
