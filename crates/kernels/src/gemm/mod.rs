//! C = A·B on slices of f32, of the numbers themselves or rounded to bfloat16.
//!
//! ```text
//! B → panels of 32 columns, or 16 (packed once, or read in place)
//! C → tiles of 12 × 32 in registers, or 6 × 16, over k in blocks of STEPS
//! threads: blocks of rows of C
//! ```
//!
//! Every product of the model goes through here: `x·wᵀ` forward, `dy·w` for the input, `dyᵀ·x` for the weight. A is
//! read by broadcasts, so its transpose costs nothing more than a copy that keeps cache lines together. In
//! [`Operands::Bf16`] both are copied, rounded.
//!
//! An element of C is a chain of fused multiply-adds in order of k within each block of [`STEPS`], and the blocks are
//! added in order. Neither the threads nor the instruction set (among those with a fused multiply-add) change a bit.

mod matrix;
mod pack;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod product;
mod rounded;
mod tile;

use rayon::prelude::*;

pub use matrix::{Matrix, MatrixMut, Operands, Right};
pub use pack::Packed;
use product::{Rhs, STEPS, multiply};
pub use rounded::Rounded;
use tile::MR;

use crate::scratch;

/// Rows of C that one parallel task computes.
const ROWS_PER_TASK: usize = 96;

/// Products along k that one task adds up when k is long, and into how many parts a longer one is cut at most.
const K_PER_TASK: usize = 512;
const MAX_PARTS: usize = 16;

/// Rows of A from which packing B pays: in place, the lines of a panel lie so far apart that they drive each other from L1.
const PACKED_FROM: usize = 4 * MR;

/// What happens to C.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// C = A·B
    Set,
    /// C = C + A·B
    Add,
    /// C = base + A·B, with `base` laid out as C: a branch joins its residual stream.
    Onto(&'a [f32]),
}

impl Write<'_> {
    /// The same for the part of C that starts at `offset` of its data.
    fn from(self, offset: usize) -> Self {
        match self {
            Write::Onto(base) => Write::Onto(&base[offset.min(base.len())..]),
            other => other,
        }
    }
}

/// C = A·B on this thread, with `b` [k, n] packed for this one product if it must be.
///
/// # Shapes
/// `a`: [m, k], `b`: [k, n], `c`: [m, n]
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm<'b>(a: Matrix<'_>, b: impl Into<Right<'b>>, c: MatrixMut<'_>, write: Write<'_>) {
    match b.into() {
        Right::Matrix(b) if b.col_stride == 1 && b.operands == Operands::F32 => {
            multiply(a.into(), Rhs::rows(b), c, write);
        }
        b => pack_and_multiply(a, b, c, write),
    }
}

fn pack_and_multiply(a: Matrix<'_>, b: Right<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    let (k, n) = b.shape();
    scratch::with(Packed::len(k, n), |buffer| gemm_packed(a, Packed::pack(b, buffer), c, write));
}

/// C = A·B on this thread, with `b` prepared, and `a` too if it is [`Rounded`].
///
/// # Shapes
/// `a`: [m, k], `b`: [k, n], `c`: [m, n]
///
/// # Panics
/// If the shapes do not fit, or `a` is rounded and `b` is not.
pub fn gemm_packed<'a>(a: impl Into<Left<'a>>, b: Packed<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    multiply(a.into(), Rhs::panels(b), c, write);
}

/// A left operand: numbers, or what they were rounded to.
#[derive(Clone, Copy, Debug)]
pub enum Left<'a> {
    /// Numbers, which each product rounds as its right operand is.
    Matrix(Matrix<'a>),
    /// For right operands in [`Operands::Bf16`].
    Rounded(Rounded<'a>),
}

impl<'a> From<Matrix<'a>> for Left<'a> {
    fn from(a: Matrix<'a>) -> Self {
        Self::Matrix(a)
    }
}

impl<'a> From<Rounded<'a>> for Left<'a> {
    fn from(a: Rounded<'a>) -> Self {
        Self::Rounded(a)
    }
}

impl<'a> Left<'a> {
    /// Elements of the buffer for [`Left::new`] of `rows` × `k` numbers.
    pub(crate) fn len(operands: Operands, rows: usize, k: usize) -> usize {
        match operands {
            Operands::F32 => 0,
            Operands::Bf16 => Rounded::len(rows, k),
        }
    }

    /// `a` as products of such `operands` read it: where it lies, or rounded into `buffer`.
    pub(crate) fn new(a: Matrix<'a>, operands: Operands, buffer: &'a mut [f32]) -> Self {
        match operands {
            Operands::F32 => a.into(),
            Operands::Bf16 => Rounded::round(a, buffer).into(),
        }
    }

    /// `count` rows from `start`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn row_range(self, start: usize, count: usize) -> Self {
        match self {
            Self::Matrix(a) => a.row_range(start, count).into(),
            Self::Rounded(a) => a.row_range(start, count).into(),
        }
    }

    /// (rows, columns)
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Matrix(a) => a.shape(),
            Self::Rounded(a) => (a.rows, a.k),
        }
    }
}

/// C = A·B over all threads: in tasks of rows of C, or of parts of a long k, whose products are then added in order.
///
/// # Shapes
/// `a`: [m, k], `b`: [k, n], `c`: [m, n]
///
/// # Panics
/// If the shapes do not fit.
pub fn par_gemm<'b>(a: Matrix<'_>, b: impl Into<Right<'b>>, c: MatrixMut<'_>, write: Write<'_>) {
    let b = b.into();
    let (k, n) = b.shape();
    if k >= 4 * K_PER_TASK && k > 2 * c.rows {
        par_gemm_long(a, b, c, write);
    } else {
        scratch::with(Packed::len(k, n), |buffer| {
            let packed = Packed::par_pack(b, buffer);
            par_gemm_packed(a, packed, c, write);
        });
    }
}

/// A weight gradient: few elements, each a long sum. Every task adds up its part of k, so that it reads A and B once.
fn par_gemm_long(a: Matrix<'_>, b: Right<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    let (m, n, k) = (c.rows, c.cols, a.cols);
    assert_eq!((a.rows, b.shape()), (m, (k, n)), "shapes of A·B");
    let k_per_task = K_PER_TASK.max(k.div_ceil(MAX_PARTS).next_multiple_of(STEPS));
    let parts = k.div_ceil(k_per_task);
    scratch::with(parts * m * n, |sums| {
        sums.par_chunks_exact_mut((m * n).max(1)).enumerate().for_each(|(part, sum)| {
            let (start, count) = (part * k_per_task, k_per_task.min(k - part * k_per_task));
            let (a, b) = (a.col_range(start, count), b.row_range(start, count));
            let c = MatrixMut::new(sum, m, n);
            if m < PACKED_FROM { gemm(a, b, c, Write::Set) } else { pack_and_multiply(a, b, c, Write::Set) }
        });
        let sums = &*sums;
        let row_stride = c.row_stride;
        let rows = c.data.par_chunks_mut(row_stride.max(1)).take(m).enumerate();
        rows.with_min_len(16).for_each(|(row, c)| {
            let c = &mut c[..n];
            match write {
                Write::Set => c.fill(0.0),
                Write::Add => {}
                Write::Onto(base) => c.copy_from_slice(&base[row * row_stride..][..n]),
            }
            for sum in sums.chunks_exact(m * n) {
                for (c, sum) in c.iter_mut().zip(&sum[row * n..][..n]) {
                    *c += sum;
                }
            }
        });
    });
}

/// [`par_gemm`] with `b` prepared.
///
/// # Panics
/// If the shapes do not fit.
pub fn par_gemm_packed(a: Matrix<'_>, b: Packed<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    let MatrixMut { data, rows, cols, row_stride } = c;
    assert_eq!(a.rows, rows, "rows of A and C");
    // fewer rows a task where there are few: a weight gradient of 128 rows still makes eleven tasks
    let rows_per_task = ROWS_PER_TASK.min(rows.div_ceil(8).next_multiple_of(MR)).max(MR);
    data.par_chunks_mut(rows_per_task * row_stride.max(1)).take(rows.div_ceil(rows_per_task)).enumerate().for_each(
        |(task, data)| {
            let start = task * rows_per_task;
            let count = rows_per_task.min(rows - start);
            let c = MatrixMut::strided(data, count, cols, row_stride);
            gemm_packed(a.row_range(start, count), b, c, write.from(start * row_stride));
        },
    );
}

#[cfg(test)]
mod tests;
