//! `itera compare` of two directories that are no runs: what became of each weight, whatever the model is

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Result;
use itera_formats::printable;
use itera_ptq::{Block, Change, Comparison, Event, PtqError, TensorError, compare};
use serde::Serialize;

use crate::{
    listing::shape,
    output,
    quantize::reading,
    signals::{self, Stopping},
    talk::say,
};

/// Weights of one directory beside those of another.
#[derive(Serialize)]
struct Findings {
    source: String,
    output: String,
    /// Tensors whose bytes are the same.
    same_bytes: usize,
    size_bytes_before: u64,
    size_bytes: u64,
    #[serde(flatten)]
    comparison: Comparison,
}

/// Print how the weights of `out` differ from those of `source`.
pub fn run(source: &Path, out: &Path, json: bool) -> Result<ExitCode> {
    let stop = Stopping::new()?.flag();
    let bar = reading();
    let result = compare(source, out, &mut |Event::Read { done, total }| {
        bar.set_length(total);
        bar.set_position(done);
        stop.cause().is_none()
    });
    bar.finish_and_clear();
    let comparison = match (result, stop.cause()) {
        (Err(PtqError::Stopped), Some(cause)) => {
            say!("stopped by {cause}");
            return Ok(signals::exit_code(cause));
        }
        (result, _) => result?,
    };
    let tensors = &comparison.tensors;
    let findings = Findings {
        source: source.display().to_string(),
        output: out.display().to_string(),
        same_bytes: tensors.iter().filter(|tensor| tensor.change == Change::SameBytes).count(),
        size_bytes_before: tensors.iter().map(|tensor| tensor.size_bytes_before).sum(),
        size_bytes: tensors.iter().map(|tensor| tensor.size_bytes).sum(),
        comparison,
    };
    output::show(&findings, json, Findings::print)
}

impl Findings {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { same_bytes, size_bytes_before, size_bytes, comparison, .. } = self;
        let Comparison { tensors, missing, unexpected } = comparison;
        let names: Vec<String> = tensors.iter().map(|tensor| printable(&tensor.name)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("tensor".len());
        writeln!(
            out,
            "{:width$}  {:14} {:>16} {:>13}  {:>8}  worst block",
            "tensor", "kind", "shape", "bytes", "error"
        )?;
        for (name, tensor) in names.iter().zip(tensors) {
            let kind = match tensor.kind == tensor.kind_before {
                true => tensor.kind.clone(),
                false => format!("{} → {}", tensor.kind_before, tensor.kind),
            };
            let (shape, n_bytes) = (shape(&tensor.shape), tensor.size_bytes);
            write!(out, "{name:width$}  {kind:14} {shape:>16} {n_bytes:>13}  ")?;
            match &tensor.change {
                Change::SameBytes => writeln!(out, "{:>8}  same bytes", "0")?,
                Change::Differs => writeln!(out, "{:>8}  other numbers, not of a kind that is expanded", "")?,
                Change::Error(TensorError { relative, worst }) => {
                    let worst = worst.as_ref().map_or(String::new(), told);
                    writeln!(out, "{:>8}  {worst}", percent(*relative))?;
                }
            }
        }
        writeln!(out)?;
        missing.iter().try_for_each(|name| writeln!(out, "only in {}: {}", self.source, printable(name)))?;
        unexpected.iter().try_for_each(|name| writeln!(out, "only in {}: {}", self.output, printable(name)))?;
        writeln!(out, "{same_bytes} of {} tensors have the same bytes", tensors.len())?;
        let times = *size_bytes_before as f64 / *size_bytes as f64;
        writeln!(out, "tensors {size_bytes_before} bytes before, {size_bytes} after: {times:.2} times smaller")
    }
}

/// A share of the norm of the source.
fn percent(relative: f64) -> String {
    format!("{:.3} %", 100.0 * relative)
}

/// `row 3, columns 16..32: 41.200 %`
fn told(Block { rows, cols, relative }: &Block) -> String {
    let rows = match rows.len() {
        1 => format!("row {}", rows.start),
        _ => format!("rows {}..{}", rows.start, rows.end),
    };
    format!("{rows}, columns {}..{}: {}", cols.start, cols.end, percent(*relative))
}
