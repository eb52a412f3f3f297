//! A run's outcome → report.json, report.html

use std::path::Path;

use anyhow::{Context, Result};
use itera_config::Config;
use itera_data::Dataset;
use itera_metrics::{Best, Environment, GitRevision, Report, Totals, peak_resident_bytes, read_records};
use itera_trainer::Outcome;

/// The version that the manifest pins.
const BURN_VERSION: &str = "0.22.1";

/// This machine, with the device that a command computes on.
pub fn environment(device: &str) -> Environment {
    Environment::detect(device, rayon::current_num_threads(), BURN_VERSION)
}

/// Write the report of a run into its directory.
pub fn write(config: &Config, data: &Dataset, outcome: &Outcome) -> Result<()> {
    let dir = Path::new(&config.run.dir);
    let records = read_records(&dir.join("metrics.jsonl"))?;
    let state = &outcome.state;
    let model = &config.model;
    let report = Report {
        run: dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned(),
        config: serde_json::to_value(config).context("cannot describe the configuration")?,
        model: serde_json::json!({
            "total_params": model.total_params(),
            "active_params": model.active_params(),
            "flops_per_token": model.flops_per_token(config.train.seq_len),
        }),
        data: serde_json::to_value(&data.summary).context("cannot describe the data")?,
        environment: environment(&config.run.device),
        git: GitRevision::of(Path::new(".")),
        totals: Totals {
            steps: state.step,
            tokens: state.tokens,
            skipped: state.skipped,
            resumes: state.resumes,
            wall_s: state.elapsed_s,
            peak_resident_bytes: peak_resident_bytes(),
        },
        best: state.best.map(|best| Best { step: best.step, val_bpb: best.val_bpb }),
        last: records.last().cloned(),
        floor_bpb: data.summary.corpus.valid.floor_bpb,
        samples: state.samples.clone(),
    };
    Ok(report.write(dir, &records)?)
}
