//! two directories → what became of each weight: the same bytes, or how far off, and where most.
//!
//! ```text
//! weight of DIR ── rows in f32 ─┐
//! weight of OUT ── rows in f32 ─┴─ Σ (x − y)², Σ x², of every block that shares a scale ─▶ TensorError
//! ```
//!
//! A piece of rows at a time, whatever the size of a weight.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use itera_formats::hf::{Fp8Form, Weight, WeightForm, WeightsDir};
use itera_kernels::quant::apart::NVFP4_GROUP;
use serde::Serialize;

use crate::{
    error::{PtqError, Result},
    method::BLOCK,
    plan::experts,
    rows::PIECE,
    write::Event,
};

/// Bytes that are compared at a time.
const BYTES: usize = 4 << 20;

/// How a directory differs from another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The weights of both, in the order of the first.
    pub tensors: Vec<Compared>,
    /// Names of weights that the first alone has.
    pub missing: Vec<String>,
    /// Names of weights that the second alone has.
    pub unexpected: Vec<String>,
}

/// A weight of two directories.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Its name in the second.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How the first stores it: `fp8`, `nvfp4`, or what files call its kind of number.
    pub kind_before: String,
    /// How the second does.
    pub kind: String,
    /// Bytes of it in the first, scales among them.
    pub size_bytes_before: u64,
    /// Bytes of it in the second.
    pub size_bytes: u64,
    /// How its numbers differ.
    pub change: Change,
}

/// How the numbers of a weight differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Not at all: every byte is the same.
    SameBytes,
    /// By so much.
    Error(TensorError),
    /// They are not floats, and some differ, or the shapes do.
    Differs,
}

/// How far the numbers of a weight are from those of another directory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorError {
    /// Frobenius norm of the difference over that of the source; 0 if both are 0.
    pub relative: f64,
    /// The block that is farthest, so measured, the first of equals; `None` of no numbers.
    pub worst: Option<Block>,
}

/// Numbers of a matrix that share a scale; a row where they share none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Block {
    /// Its rows, counted from 0.
    pub rows: Range<usize>,
    /// Its columns.
    pub cols: Range<usize>,
    /// As [`TensorError::relative`], of these numbers.
    pub relative: f64,
}

/// Compares the weights of `out` with those of `source`, by name. Tensors of all experts are compared with those that they were
/// taken apart to.
///
/// `on_event` is called some times a second; when it returns false, the work stops.
///
/// # Errors
/// If a directory is none of safetensors, or damaged; if the system refuses; [`PtqError::Stopped`].
pub fn compare(source: &Path, out: &Path, on_event: &mut dyn FnMut(Event) -> bool) -> Result<Comparison> {
    let [mut before, mut after] = [WeightsDir::open(source)?, WeightsDir::open(out)?];
    let mut pairs = Vec::new();
    let (mut missing, mut met) = (Vec::new(), BTreeSet::new());
    for (index, weight) in before.weights().iter().enumerate() {
        let (rows, _) = weight.rows_and_cols();
        let parts = match after.find(&weight.name) {
            Some(same) => vec![Some(same)],
            None => experts(&weight.name, &weight.shape).iter().flatten().map(|name| after.find(name)).collect(),
        };
        if parts.is_empty() || parts.contains(&None) {
            missing.push(weight.name.clone());
        } else {
            let n_rows = rows / parts.len();
            pairs
                .extend(parts.iter().flatten().enumerate().map(|(part, found)| (index, part * n_rows, n_rows, *found)));
            met.extend(parts.into_iter().flatten());
        }
    }
    let all = || after.weights().iter().enumerate();
    let unexpected = all().filter(|(index, _)| !met.contains(index)).map(|(_, weight)| weight.name.clone()).collect();
    let total = pairs.iter().map(|(_, _, _, found)| after.weights()[*found].size_bytes()).sum();
    let mut tensors = Vec::new();
    let mut done = 0;
    for (index, first_row, n_rows, found) in pairs {
        let mut pair = Pair { before: &mut before, after: &mut after, index, found, first_row, n_rows };
        let mut tick = || on_event(Event::Read { done, total }).then_some(()).ok_or(PtqError::Stopped);
        let change = pair.change(&mut tick)?;
        let (from, to) = (&before.weights()[index], &after.weights()[found]);
        let size_bytes_before = from.size_bytes() * n_rows as u64 / (from.rows_and_cols().0 as u64).max(1);
        done += to.size_bytes();
        tensors.push(Compared {
            name: to.name.clone(),
            shape: to.shape.clone(),
            kind_before: from.kind(),
            kind: to.kind(),
            size_bytes_before,
            size_bytes: to.size_bytes(),
            change,
        });
    }
    Ok(Comparison { tensors, missing, unexpected })
}

/// A weight of the second directory, and the rows of the first that it was made of.
struct Pair<'d> {
    before: &'d mut WeightsDir,
    after: &'d mut WeightsDir,
    index: usize,
    found: usize,
    first_row: usize,
    n_rows: usize,
}

impl Pair<'_> {
    fn from(&self) -> &Weight {
        &self.before.weights()[self.index]
    }

    fn to(&self) -> &Weight {
        &self.after.weights()[self.found]
    }

    fn change(&mut self, tick: &mut dyn FnMut() -> Result<()>) -> Result<Change> {
        let (from, to) = (self.from(), self.to());
        let is_whole = from.shape == to.shape;
        let is_part = from.shape.len() == 3 && to.shape == [self.n_rows, from.rows_and_cols().1];
        if !is_whole && !is_part {
            return Ok(Change::Differs);
        }
        let is_plain = |weight: &Weight| matches!(weight.form, WeightForm::Plain(_));
        let can_be_same = is_whole && is_plain(from) && from.form == to.form;
        let have_numbers = from.has_numbers() && to.has_numbers();
        if can_be_same && self.has_same_bytes(tick)? {
            return Ok(Change::SameBytes);
        }
        if !have_numbers {
            return Ok(Change::Differs);
        }
        Ok(Change::Error(self.error(tick)?))
    }

    fn has_same_bytes(&mut self, tick: &mut dyn FnMut() -> Result<()>) -> Result<bool> {
        let n_bytes = self.to().size_bytes();
        let (mut one, mut other) = (vec![0; BYTES], vec![0; BYTES]);
        for start in (0..n_bytes).step_by(BYTES) {
            let n = BYTES.min((n_bytes - start) as usize);
            self.before.read_bytes(self.index, start, &mut one[..n])?;
            self.after.read_bytes(self.found, start, &mut other[..n])?;
            if one[..n] != other[..n] {
                return Ok(false);
            }
            tick()?;
        }
        Ok(true)
    }

    fn error(&mut self, tick: &mut dyn FnMut() -> Result<()>) -> Result<TensorError> {
        let (rows, cols) = self.to().rows_and_cols();
        let (high, wide) = match self.to().form {
            WeightForm::Nvfp4 => (1, NVFP4_GROUP),
            WeightForm::Fp8(Fp8Form::Block) => (BLOCK, BLOCK),
            WeightForm::Fp8(_) | WeightForm::Plain(_) => (1, cols.max(1)),
        };
        let at_once = (PIECE / cols.max(1) / high).max(1) * high;
        let (mut x, mut y) = (Vec::new(), Vec::new());
        let (mut all, mut worst) = (Sums::default(), None::<Block>);
        for start in (0..rows).step_by(at_once) {
            let piece = start..(start + at_once).min(rows);
            self.before.read(self.index, self.first_row + piece.start..self.first_row + piece.end, &mut x)?;
            self.after.read(self.found, piece.clone(), &mut y)?;
            for first in piece.clone().step_by(high) {
                let block_rows = first..(first + high).min(rows);
                for col in (0..cols).step_by(wide) {
                    let block_cols = col..(col + wide).min(cols);
                    let mut sums = Sums::default();
                    for row in block_rows.clone() {
                        let at = (row - piece.start) * cols;
                        sums.add(&x[at..][block_cols.clone()], &y[at..][block_cols.clone()]);
                    }
                    let relative = sums.relative();
                    if worst.as_ref().is_none_or(|worst| relative.total_cmp(&worst.relative).is_gt()) {
                        worst = Some(Block { rows: block_rows.clone(), cols: block_cols, relative });
                    }
                    all = Sums { errors: all.errors + sums.errors, squares: all.squares + sums.squares };
                }
            }
            tick()?;
        }
        Ok(TensorError { relative: all.relative(), worst })
    }
}

/// Sums of squares: of differences, and of the numbers that they are differences from.
#[derive(Clone, Copy, Default)]
struct Sums {
    errors: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, x: &[f32], y: &[f32]) {
        for (x, y) in x.iter().zip(y) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            self.errors += (x - y) * (x - y);
            self.squares += x * x;
        }
    }

    fn relative(self) -> f64 {
        if self.errors == 0.0 { 0.0 } else { (self.errors / self.squares).sqrt() }
    }
}
