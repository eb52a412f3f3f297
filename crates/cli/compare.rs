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
use itera_formats::Listing;
use itera_runtime::{CompletionConfig, Continuation, Sampler, SamplingConfig};
use serde::Serialize;

use crate::{
    args::{self, RunArgs},
    eval, opened,
    opened::Opened,
    setup,
};

/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 60;

/// A model and what was measured of it.
#[derive(Serialize)]
struct Row {
    path: PathBuf,
    /// Of the file; of a directory those of its weights, where it is the first.
    size_bytes: u64,
    times_smaller: f64,
    bits_per_byte: f64,
    loss_percent: f64,
    tokens_per_s: f64,
    /// Most that a process held that ran it; absent where the system does not tell.
    resident_mb: Option<f64>,
    samples: Vec<String>,
}

pub fn run(args: args::Compare) -> Result<ExitCode> {
    setup::threads(args.run.threads)?;
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| find_model(path)).collect::<Result<_, _>>()?;
    let Some(first) = paths.first() else { bail!("there is nothing to compare") };
    let documents = eval::documents(&args.data, args::Split::Valid, first)?;
    let texts: Vec<&str> = documents.iter().map(|document| document.text()).collect();

    let mut rows: Vec<Row> = vec![];
    for path in &paths {
        eprintln!("measuring {} …", path.display());
        let opened = opened::load(path, &args.run)?;
        let bits_per_byte = opened.model.score_documents(&opened.tokenizer, &texts, &|| {})?.bits_per_byte();
        let (tokens_per_s, resident_mb) = bench(path, &args.run)?;
        let size_bytes = match rows.is_empty() {
            true => weights_bytes(path)?,
            false => Listing::of(path)?.file_bytes,
        };
        let (baseline_bytes, baseline_bpb) =
            rows.first().map_or((size_bytes, bits_per_byte), |first| (first.size_bytes, first.bits_per_byte));
        rows.push(Row {
            path: path.clone(),
            size_bytes,
            times_smaller: baseline_bytes as f64 / size_bytes as f64,
            bits_per_byte,
            loss_percent: 100.0 * (bits_per_byte / baseline_bpb - 1.0),
            tokens_per_s,
            resident_mb,
            samples: samples(&opened, &args)?,
        });
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "documents": texts.len(), "models": rows }))?;
    } else {
        print(&mut out, &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Bytes of a model file, or of the weights of a directory.
fn weights_bytes(path: &Path) -> Result<u64> {
    let weights = path.join("model.safetensors");
    let file = if path.is_dir() { &weights } else { path };
    Ok(file.metadata().with_context(|| format!("cannot read {}", file.display()))?.len())
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
fn samples(opened: &Opened, args: &args::Compare) -> Result<Vec<String>> {
    let length = CompletionConfig { max_tokens: SAMPLE_TOKENS, stop: vec![] };
    let mut work = opened.model.workspace();
    let sample = |index| {
        let mut sampler = Sampler::new(&SamplingConfig::default(), index);
        let (model, tokenizer) = (&opened.model, &opened.tokenizer);
        let completion =
            model.complete(tokenizer, &args.prompt, &length, &mut sampler, &mut work, |_| Continuation::More)?;
        Ok(format!("{}{}", args.prompt, completion.text))
    };
    (0..args.samples).map(sample).collect()
}

fn print(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let width = rows.iter().map(|row| row.path.display().to_string().len()).max().unwrap_or(0);
    writeln!(
        out,
        "{:width$} {:>10} {:>8} {:>10} {:>9} {:>10} {:>9}",
        "model", "bytes", "smaller", "bits/byte", "change", "tokens/s", "resident"
    )?;
    for row in rows {
        let Row { size_bytes, times_smaller, bits_per_byte, loss_percent, tokens_per_s, .. } = row;
        let resident = row.resident_mb.map_or("unknown".into(), |mb| format!("{mb:.1} MB"));
        writeln!(
            out,
            "{:width$} {size_bytes:>10} {times_smaller:>7.2}× {bits_per_byte:>10.4} {loss_percent:>+7.2} % {tokens_per_s:>10.0} {resident:>9}",
            row.path.display().to_string()
        )?;
    }
    for (seed, row) in rows.iter().flat_map(|row| (0..).zip(&row.samples).map(move |(seed, text)| (seed, (row, text))))
    {
        writeln!(out, "\n{}, seed {seed}:\n{}", row.0.path.display(), row.1.trim_end())?;
    }
    Ok(())
}
