//! `itera compress` of a directory that is no run: any model, its weights rounded as they are.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use itera_checkpoint::{find_model, run_of};
use itera_formats::printable;
use itera_ptq::{
    Event, Fp8Scales, Layout, Method, Plan, PlannedTensor, PtqError, Rounding, Selection, Stored, quantize,
};

use crate::{
    hints::with_hint,
    signals::{self, Stopping},
    talk::say,
};

/// What can be said of any model's directory, and of no run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Of a directory that is no run")]
pub struct Options {
    /// Whose names to write: compressed-tensors (vLLM, transformers, SGLang; if not given) or modelopt (TensorRT-LLM).
    #[arg(long, value_enum, value_name = "NAME", hide_possible_values = true)]
    layout: Option<LayoutName>,
    /// What shares a scale of fp8: a channel (a row; if not given), a block of 128 × 128, or the tensor.
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true)]
    scales: Option<ScalesName>,
    /// How scales of nvfp4 are chosen: min_max (as llm-compressor, to the byte; if not given) or mse (the least squared error).
    #[arg(long, value_enum, value_name = "NAME", hide_possible_values = true)]
    rounding: Option<RoundingName>,
    /// Keep tensors whose name or module matches: --skip '*.layers.0.*' (may be given again).
    #[arg(long, value_name = "PATTERN")]
    skip: Vec<String>,
    /// Pack matrices whose name or module matches, though their name says that they stay (may be given again).
    #[arg(long, value_name = "PATTERN")]
    also: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutName {
    CompressedTensors,
    Modelopt,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum RoundingName {
    MinMax,
    Mse,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScalesName {
    Channel,
    Block,
    Tensor,
}

/// Whether a path is the directory of a model, but of no run.
pub fn is_foreign(path: &Path) -> bool {
    let is_run = || find_model(path).is_ok_and(|dir| run_of(&dir).is_some_and(|run| run.join("config.toml").is_file()));
    path.join("config.json").is_file() && !is_run()
}

impl Options {
    /// An error if any is given, for a run.
    pub fn require_none(&self) -> Result<()> {
        let given = [
            ("--layout", self.layout.is_some()),
            ("--scales", self.scales.is_some()),
            ("--rounding", self.rounding.is_some()),
            ("--skip", !self.skip.is_empty()),
            ("--also", !self.also.is_empty()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(with_hint(
                format!("{flag} is for directories of other models, and this is a run"),
                "a recipe of your own says which tensors of a run are stored as what",
            )),
            None => Ok(()),
        }
    }

    /// Round the weights of `dir`, or show what would become of them.
    pub fn run(self, dir: &Path, recipe: &str, output: Option<PathBuf>, dry_run: bool, json: bool) -> Result<ExitCode> {
        let scales = match self.scales {
            Some(ScalesName::Block) => Fp8Scales::Block,
            Some(ScalesName::Tensor) => Fp8Scales::Tensor,
            Some(ScalesName::Channel) | None => Fp8Scales::Channel,
        };
        let method = match recipe {
            "nvfp4" if self.scales.is_none() => Method::Nvfp4,
            "nvfp4" => return Err(with_hint("nvfp4 has a scale for 16 weights of a row", "leave --scales out")),
            "fp8" => Method::Fp8(scales),
            _ => {
                let problem = format!("{} is no run, and `{recipe}` is a recipe for runs", dir.display());
                return Err(with_hint(problem, "fp8 and nvfp4 round the weights of any model"));
            }
        };
        let layout = match self.layout {
            Some(LayoutName::Modelopt) => Layout::ModelOpt,
            Some(LayoutName::CompressedTensors) | None => Layout::CompressedTensors,
        };
        let rounding = match self.rounding {
            Some(RoundingName::Mse) => Rounding::Mse,
            Some(RoundingName::MinMax) | None => Rounding::MinMax,
        };
        let plan = Plan::new(dir, method, layout, &Selection::new(&self.skip, &self.also)?)?;
        let mut plan = plan.with_rounding(rounding)?;
        for pattern in plan.unused_patterns() {
            say!("warning: `{pattern}` matches no tensor");
        }
        let out = output.unwrap_or_else(|| beside(dir, recipe));
        if dry_run {
            show(&plan, &out, json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let stop = Stopping::new()?.flag();
        let bar = reading();
        let result = quantize(&mut plan, &out, &mut |Event::Read { done, total }| {
            bar.set_length(total);
            bar.set_position(done);
            stop.cause().is_none()
        });
        bar.finish_and_clear();
        match (result, stop.cause()) {
            (Err(PtqError::Stopped), Some(cause)) => {
                say!("stopped by {cause}; nothing was written");
                Ok(signals::exit_code(cause))
            }
            (result, _) => {
                result?;
                summary(&plan, &out, json)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// A bar of bytes that are read, hidden unless standard error is a terminal.
pub fn reading() -> ProgressBar {
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{prefix} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}")
            .expect("a valid template"),
    );
    bar.with_prefix("reading")
}

/// `some/model` and `nvfp4` → `some/model-nvfp4`.
fn beside(dir: &Path, recipe: &str) -> PathBuf {
    // `.` and `..` have no name of their own
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{recipe}"));
    dir.with_file_name(name)
}

fn n_packed(plan: &Plan) -> usize {
    plan.tensors().iter().filter(|tensor| matches!(tensor.stored, Stored::Packed { .. })).count()
}

fn as_json(plan: &Plan, to: &Path) -> serde_json::Value {
    let (before, after) = plan.size_bytes();
    serde_json::json!({
        "output": to,
        "tensors": plan.tensors(),
        "other_files": plan.other_files(),
        "tensor_bytes_before": before,
        "tensor_bytes": after,
    })
}

fn show(plan: &Plan, to: &Path, json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", as_json(plan, to))?;
        return Ok(());
    }
    writeln!(out, "{:56} {:5} {:>16} {:>13} {:>13}  stored", "tensor", "dtype", "shape", "bytes", "bytes after")?;
    for PlannedTensor { name, dtype, shape, size_bytes, stored } in plan.tensors() {
        let (after, stored) = match stored {
            Stored::Kept { why } => (size_bytes, format!("kept: {why}")),
            Stored::Packed { kind, size_bytes } => (size_bytes, (*kind).to_owned()),
        };
        let (name, shape) = (printable(name), format!("{shape:?}"));
        writeln!(out, "{name:56} {dtype:5} {shape:>16} {size_bytes:>13} {after:>13}  {stored}")?;
    }
    writeln!(out)?;
    totals(&mut out, plan, to)
}

fn summary(plan: &Plan, to: &Path, json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", as_json(plan, to))?;
        return Ok(());
    }
    totals(&mut out, plan, to)
}

fn totals(out: &mut dyn Write, plan: &Plan, to: &Path) -> Result<()> {
    let (before, after) = plan.size_bytes();
    let times = before as f64 / after as f64;
    writeln!(
        out,
        "{} of {} tensors packed, {} other files copied",
        n_packed(plan),
        plan.tensors().len(),
        plan.other_files().len()
    )?;
    writeln!(out, "tensors {before} bytes before, {after} after: {times:.2} times smaller")?;
    writeln!(out, "output  {}", to.display())?;
    Ok(())
}
