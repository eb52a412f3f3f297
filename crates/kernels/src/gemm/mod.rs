//! C = A·B on slices of f32, of the numbers themselves or rounded to bfloat16.
//!
//! ```text
//! B → panels of 32 columns (packed once, or read in place)
//! C → tiles of 12 × 32 in registers, over k in blocks of STEPS
//! threads: blocks of rows of C
//! ```
//!
//! Every product of the model goes through here: `x·wᵀ` forward, `dy·w` for the input, `dyᵀ·x` for the weight. A is
//! read by broadcasts, so its transpose costs nothing more than a copy that keeps cache lines together. In
//! [`Operands::Bf16`] both are copied, rounded, and two k make one step.
//!
//! An element of C is a chain of fused multiply-adds in order of k within each block of [`STEPS`], and the blocks are
//! added in order. Neither the threads nor the instruction set (among those with a fused multiply-add) change a bit.

mod matrix;
mod pack;
mod pairs;
mod tile;

use rayon::prelude::*;

pub use matrix::{Matrix, MatrixMut, Operands, Right};
pub use pack::Packed;
use pack::pack_transposed;
pub use pairs::Rounded;
use pairs::round_rows;
use tile::{MR, NR, Tile};

#[cfg(target_arch = "x86_64")]
use crate::simd::features;
use crate::{
    scratch,
    simd::{self, Isa, simd},
};

/// Steps along k that one pass adds up in registers: a panel of B of that many fills half of a 64 KiB L1.
const STEPS: usize = 256;

/// Rows of C that one parallel task computes.
const ROWS_PER_TASK: usize = 96;

/// Products along k that one task adds up when k is long, and into how many parts a longer one is cut at most.
const K_PER_TASK: usize = 512;
const MAX_PARTS: usize = 16;

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
        b => {
            let (k, n) = b.shape();
            scratch::with(Packed::len(k, n), |buffer| gemm_packed(a, Packed::pack(b, buffer), c, write));
        }
    }
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

/// A weight gradient: few elements, each a long sum. Every task adds up its part of k, so that it reads A and B once; too
/// few rows of A share B to make packing it worth while.
fn par_gemm_long(a: Matrix<'_>, b: Right<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    let (m, n, k) = (c.rows, c.cols, a.cols);
    assert_eq!((a.rows, b.shape()), (m, (k, n)), "shapes of A·B");
    let k_per_task = K_PER_TASK.max(k.div_ceil(MAX_PARTS).next_multiple_of(STEPS));
    let parts = k.div_ceil(k_per_task);
    scratch::with(parts * m * n, |sums| {
        sums.par_chunks_exact_mut((m * n).max(1)).enumerate().for_each(|(part, sum)| {
            let (start, count) = (part * k_per_task, k_per_task.min(k - part * k_per_task));
            let (a, b) = (a.col_range(start, count), b.row_range(start, count));
            gemm(a, b, MatrixMut::new(sum, m, n), Write::Set);
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

/// The right operand as the tiles read it: panel p starts at `p · panel_stride` and has steps `step_stride` apart.
struct Rhs<'a> {
    data: &'a [f32],
    operands: Operands,
    k: usize,
    n: usize,
    panel_stride: usize,
    step_stride: usize,
}

impl<'a> Rhs<'a> {
    fn panels(b: Packed<'a>) -> Self {
        let Packed { panels: data, operands, k, n, panel_stride } = b;
        Self { data, operands, k, n, panel_stride, step_stride: NR }
    }

    fn rows(b: Matrix<'a>) -> Self {
        debug_assert!(b.col_stride == 1 && b.operands == Operands::F32, "only dense rows of f32 are read in place");
        let Matrix { data, operands, rows: k, cols: n, row_stride: step_stride, .. } = b;
        Self { data, operands, k, n, panel_stride: NR, step_stride }
    }
}

fn multiply(a: Left<'_>, b: Rhs<'_>, mut c: MatrixMut<'_>, write: Write<'_>) {
    let (m, k) = a.shape();
    assert_eq!((m, b.n, k), (c.rows, c.cols, b.k), "shapes of A·B: {m}×{k} · {}×{}", b.k, b.n);
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    if let Write::Onto(base) = write {
        assert!(base.len() >= (c.rows - 1) * c.row_stride + c.cols, "the base of C is as large as C");
    }
    if b.k == 0 {
        let rows = c.data.chunks_mut(c.row_stride).take(c.rows).enumerate();
        rows.for_each(|(i, row)| match write {
            Write::Set => row[..c.cols].fill(0.0),
            Write::Add => {}
            Write::Onto(base) => row[..c.cols].copy_from_slice(&base[i * c.row_stride..][..c.cols]),
        });
        return;
    }
    let all_steps = b.operands.steps(k);
    let k_a_step = k.div_ceil(all_steps);
    let far = match b.operands {
        Operands::F32 => 2 * NR,
        Operands::Bf16 => 1,
    };
    let transposed = matches!(a, Left::Matrix(a) if a.row_stride == 1 && a.col_stride > far);
    // packed groups of A and a panel of B share L1
    let block = if transposed { STEPS / 2 } else { STEPS };
    for from in (0..all_steps).step_by(block) {
        let steps = block.min(all_steps - from);
        let (first_k, end_k) = (from * k_a_step, ((from + steps) * k_a_step).min(k));
        let block = Block { from, steps, write: if from > 0 { Write::Add } else { write } };
        match (a, b.operands) {
            // a transposed A whose k are far apart: bring the rows of each tile together, step by step
            (Left::Matrix(a), operands) if transposed => scratch::with(m.div_ceil(MR) * MR * steps, |packed| {
                pack_transposed(&a.col_range(first_k, end_k - first_k), operands, packed);
                for_tiles(Lhs::groups(packed, steps), Ahead::of_cols(&a, end_k), &b, block, &mut c);
            }),
            (Left::Matrix(a), Operands::F32) => {
                let ahead = if from == 0 { Ahead::of_rows(&a) } else { Ahead::nothing() };
                for_tiles(Lhs::in_place(&a.col_range(first_k, end_k - first_k)), ahead, &b, block, &mut c);
            }
            (Left::Matrix(a), Operands::Bf16) => scratch::with(m * steps, |pairs| {
                round_rows(a.col_range(first_k, end_k - first_k), pairs);
                let ahead = if from == 0 { Ahead::of_rows(&a) } else { Ahead::nothing() };
                for_tiles(Lhs::rows(pairs, steps), ahead, &b, block, &mut c);
            }),
            (Left::Rounded(a), operands) => {
                assert_eq!(operands, Operands::Bf16, "what a rounded operand is multiplied with is rounded too");
                for_tiles(Lhs::rounded(&a, from), Ahead::nothing(), &b, block, &mut c);
            }
        }
    }
}

/// Steps of a product that one pass takes, and what the pass does to C.
#[derive(Clone, Copy)]
struct Block<'a> {
    from: usize,
    steps: usize,
    write: Write<'a>,
}

/// The left operand of one block as the tiles read it.
struct Lhs<'a> {
    data: &'a [f32],
    row_stride: usize,
    step_stride: usize,
    /// Elements of each group of MR rows, if rows stand in groups.
    group_len: Option<usize>,
}

impl<'a> Lhs<'a> {
    /// By broadcasts where it lies.
    fn in_place(a: &Matrix<'a>) -> Self {
        Self { data: a.data, row_stride: a.row_stride, step_stride: a.col_stride, group_len: None }
    }

    /// In rows of `row_stride` elements.
    fn rows(data: &'a [f32], row_stride: usize) -> Self {
        Self { data, row_stride, step_stride: 1, group_len: None }
    }

    /// From step `from` on.
    fn rounded(a: &Rounded<'a>, from: usize) -> Self {
        let Rounded { pairs, row_stride, step_stride, .. } = *a;
        Self { data: &pairs[from * step_stride..], row_stride, step_stride, group_len: None }
    }

    /// In groups of MR rows, each step by step.
    fn groups(data: &'a [f32], steps: usize) -> Self {
        Self { data, row_stride: 1, step_stride: MR, group_len: Some(MR * steps) }
    }
}

/// All tiles of C for one block of k.
fn for_tiles(a: Lhs<'_>, ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>) {
    match b.operands {
        Operands::F32 => tiles_of_numbers(a, ahead, b, block, c),
        Operands::Bf16 => {
            #[cfg(target_arch = "x86_64")]
            if let Some(isa) = simd::Avx512Bf16::in_use() {
                return tiles_of_dots(isa, a, ahead, b, block, c);
            }
            tiles_of_pairs(a, ahead, b, block, c);
        }
    }
}

simd! {
    fn tiles_of_numbers<S>[isa](
        a: Lhs<'_>, ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>,
    ) {
        tiles::<S, false>(isa, a, ahead, b, block, c);
    }
}

simd! {
    fn tiles_of_pairs<S>[isa](
        a: Lhs<'_>, ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>,
    ) {
        tiles::<S, true>(isa, a, ahead, b, block, c);
    }
}

/// [`tiles_of_pairs`] by the instruction for a pair.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls what was compiled for a set that a token proves")]
fn tiles_of_dots(
    isa: simd::Avx512Bf16,
    a: Lhs<'_>,
    ahead: Ahead<'_>,
    b: &Rhs<'_>,
    block: Block<'_>,
    c: &mut MatrixMut<'_>,
) {
    features! {
        avx512bf16 compile fn compiled(
            isa: simd::Avx512Bf16, a: Lhs<'_>, ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>,
        ) {
            tiles::<_, true>(isa, a, ahead, b, block, c);
        }
    }
    // SAFETY: the token proves that the processor has the features that the function is compiled for.
    unsafe { compiled(isa, a, ahead, b, block, c) }
}

#[inline(always)]
#[expect(unsafe_code, reason = "tiles work on pointers")]
fn tiles<S: Isa, const PAIRS: bool>(
    isa: S,
    a: Lhs<'_>,
    mut ahead: Ahead<'_>,
    b: &Rhs<'_>,
    block: Block<'_>,
    c: &mut MatrixMut<'_>,
) {
    let Block { from, steps, write } = block;
    let (m, c_row) = (c.rows, c.row_stride);
    // as even as possible: a last group of one row would leave most of the registers idle
    let rows_a_tile = if a.group_len.is_some() { MR } else { m.div_ceil(m.div_ceil(MR)) };
    for (panel, col) in (0..b.n).step_by(NR).enumerate() {
        let n = NR.min(b.n - col);
        for row in (0..m).step_by(rows_a_tile) {
            let rows = rows_a_tile.min(m - row);
            let a_start = a.group_len.map_or(row * a.row_stride, |len| row / MR * len);
            let b_start = panel * b.panel_stride + from * b.step_stride;
            let c_start = row * c_row + col;
            assert!(a_start + (rows - 1) * a.row_stride + (steps - 1) * a.step_stride < a.data.len());
            assert!(b_start + (steps - 1) * b.step_stride + n <= b.data.len());
            let c_end = c_start + (rows - 1) * c_row + n;
            assert!(c_end <= c.data.len());
            let c_tile = c.data[c_start..].as_mut_ptr();
            let base = match write {
                Write::Set => std::ptr::null(),
                Write::Add => c_tile.cast_const(),
                Write::Onto(base) => base[c_start..c_end].as_ptr(),
            };
            let tile = Tile {
                steps,
                a: a.data[a_start..].as_ptr(),
                a_row: a.row_stride,
                a_step: a.step_stride,
                b: b.data[b_start..].as_ptr(),
                b_step: b.step_stride,
                c: c_tile,
                c_row,
                m: rows,
                n,
                base,
                ahead: ahead.take(steps / tile::STEPS_PER_LINE),
            };
            // SAFETY: the three assertions above are the ends of A, B and C, the slice of the base is its end; the loops
            // make rows 1..=MR and n 1..=NR, and a block has steps.
            unsafe { tile::run::<S, PAIRS>(isa, &tile) };
        }
    }
}

/// What will be read of A after these tiles. They keep the arithmetic busy and leave memory idle, so each asks for a
/// few lines of it; asking for many at once would stall.
struct Ahead<'a> {
    data: &'a [f32],
}

impl<'a> Ahead<'a> {
    fn nothing() -> Self {
        Self { data: &[] }
    }

    /// As many rows as `a` has, after its last: the next task's, often on the same thread.
    fn of_rows(a: &Matrix<'a>) -> Self {
        let len = a.rows * a.row_stride;
        Self { data: a.data.get(len..).map_or(&[], |rest| &rest[..len.min(rest.len())]) }
    }

    /// The next block of k, from column `from`, of a transposed `a`.
    fn of_cols(a: &Matrix<'a>, from: usize) -> Self {
        let until = a.data.len().min((from + STEPS) * a.col_stride);
        Self { data: a.data.get(from * a.col_stride..until).unwrap_or(&[]) }
    }

    /// The next `lines` cache lines.
    fn take(&mut self, lines: usize) -> *const f32 {
        let (now, later) = self.data.split_at(self.data.len().min(lines * tile::LINE));
        self.data = later;
        now.as_ptr()
    }
}

#[cfg(test)]
mod tests;
