//! C = A·B in f32, on slices.
//!
//! ```text
//! B → panels of 32 columns (packed once, or read in place)
//! C → tiles of 12 × 32 in registers, over k in blocks of K_BLOCK
//! threads: blocks of rows of C
//! ```
//!
//! Every product of the model goes through here: `x·wᵀ` forward, `dy·w` for the input, `dyᵀ·x` for the weight. A is
//! read by broadcasts, so its transpose costs nothing more than a copy that keeps cache lines together.
//!
//! An element of C is a chain of fused multiply-adds in order of k within each block of [`K_BLOCK`], and the blocks are
//! added in order. Neither the threads nor the instruction set (among those with a fused multiply-add) change a bit.

mod matrix;
mod pack;
mod tile;

use rayon::prelude::*;

pub use matrix::{Matrix, MatrixMut};
pub use pack::Packed;
use pack::pack_transposed;
use tile::{MR, NR, Tile};

use crate::{scratch, simd};

/// Products along k that one pass adds up in registers: a panel of B of that many rows fills half of a 32 or 64 KiB L1.
pub const K_BLOCK: usize = 256;

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
pub fn gemm(a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    if b.col_stride == 1 {
        multiply(a, Rhs::rows(b), c, write);
    } else {
        scratch::with(Packed::len(b.rows, b.cols), |buffer| gemm_packed(a, Packed::pack(b, buffer), c, write));
    }
}

/// C = A·B on this thread, with `b` prepared.
///
/// # Shapes
/// `a`: [m, k], `b`: [k, n], `c`: [m, n]
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm_packed(a: Matrix<'_>, b: Packed<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    multiply(a, Rhs::panels(b), c, write);
}

/// C = A·B over all threads: in tasks of rows of C, or of parts of a long k, whose products are then added in order.
///
/// # Shapes
/// `a`: [m, k], `b`: [k, n], `c`: [m, n]
///
/// # Panics
/// If the shapes do not fit.
pub fn par_gemm(a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    if b.rows >= 4 * K_PER_TASK && b.rows > 2 * c.rows {
        par_gemm_long(a, b, c, write);
    } else {
        scratch::with(Packed::len(b.rows, b.cols), |buffer| {
            let packed = Packed::par_pack(b, buffer);
            par_gemm_packed(a, packed, c, write);
        });
    }
}

/// A weight gradient: few elements, each a long sum. Every task adds up its part of k, so that it reads A and B once; too
/// few rows of A share B to make packing it worth while.
fn par_gemm_long(a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    assert_eq!((a.rows, b.cols, a.cols), (c.rows, c.cols, b.rows), "shapes of A·B");
    let (m, n, k) = (c.rows, c.cols, b.rows);
    let k_per_task = K_PER_TASK.max(k.div_ceil(MAX_PARTS).next_multiple_of(K_BLOCK));
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

/// The right operand as the tiles read it: panel p starts at `p · panel_stride` and has rows `row_stride` apart.
struct Rhs<'a> {
    data: &'a [f32],
    k: usize,
    n: usize,
    panel_stride: usize,
    row_stride: usize,
}

impl<'a> Rhs<'a> {
    fn panels(b: Packed<'a>) -> Self {
        Self { data: b.panels, k: b.k, n: b.n, panel_stride: NR * b.k, row_stride: NR }
    }

    fn rows(b: Matrix<'a>) -> Self {
        debug_assert_eq!(b.col_stride, 1, "rows are read in place only if they are dense");
        Self { data: b.data, k: b.rows, n: b.cols, panel_stride: NR, row_stride: b.row_stride }
    }
}

fn multiply(a: Matrix<'_>, b: Rhs<'_>, c: MatrixMut<'_>, write: Write<'_>) {
    assert_eq!((a.rows, b.n, a.cols), (c.rows, c.cols, b.k), "shapes of A·B: {}×{} · {}×{}", a.rows, a.cols, b.k, b.n);
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
    let transposed = a.row_stride == 1 && a.col_stride > NR;
    let mut c = c;
    // packed groups of A and a panel of B share L1
    let k_block = if transposed { K_BLOCK / 2 } else { K_BLOCK };
    for from in (0..b.k).step_by(k_block) {
        let k = k_block.min(b.k - from);
        let write = if from > 0 { Write::Add } else { write };
        let block = a.col_range(from, k);
        if transposed {
            // a transposed A whose k are far apart: bring the rows of each tile together, k by k
            scratch::with(a.rows.div_ceil(MR) * MR * k, |packed| {
                pack_transposed(&block, packed);
                for_tiles(Lhs::Packed(packed), Ahead::of_cols(&a, from + k), &b, from, k, &mut c, write);
            });
        } else {
            let ahead = if from == 0 { Ahead::of_rows(&a) } else { Ahead::nothing() };
            for_tiles(Lhs::InPlace(block), ahead, &b, from, k, &mut c, write);
        }
    }
}

/// The left operand of one block of k as the tiles read it.
enum Lhs<'a> {
    /// By broadcasts where it lies.
    InPlace(Matrix<'a>),
    /// In groups of MR rows, each k by k.
    Packed(&'a [f32]),
}

/// All tiles of C for one block of k.
#[expect(unsafe_code, reason = "tiles work on pointers")]
fn for_tiles(
    a: Lhs<'_>,
    mut ahead: Ahead<'_>,
    b: &Rhs<'_>,
    from: usize,
    k: usize,
    c: &mut MatrixMut<'_>,
    write: Write<'_>,
) {
    let level = simd::level();
    let (m, c_row) = (c.rows, c.row_stride);
    let (data, a_row, a_col) = match &a {
        Lhs::InPlace(a) => (a.data, a.row_stride, a.col_stride),
        Lhs::Packed(data) => (*data, 1, MR),
    };
    // as even as possible: a last group of one row would leave most of the registers idle
    let even = m.div_ceil(m.div_ceil(MR));
    for (panel, col) in (0..b.n).step_by(NR).enumerate() {
        let n = NR.min(b.n - col);
        let mut row = 0;
        while row < m {
            let (rows, a_start) = match a {
                Lhs::InPlace(_) => (even.min(m - row), row * a_row),
                Lhs::Packed(_) => (MR.min(m - row), row * k),
            };
            let b_start = panel * b.panel_stride + from * b.row_stride;
            let c_start = row * c_row + col;
            assert!(a_start + (rows - 1) * a_row + (k - 1) * a_col < data.len());
            assert!(b_start + (k - 1) * b.row_stride + n <= b.data.len());
            let c_end = c_start + (rows - 1) * c_row + n;
            assert!(c_end <= c.data.len());
            let c_tile = c.data[c_start..].as_mut_ptr();
            let base = match write {
                Write::Set => std::ptr::null(),
                Write::Add => c_tile.cast_const(),
                Write::Onto(base) => base[c_start..c_end].as_ptr(),
            };
            // SAFETY: the assertions above and the slice of the base are the bounds that a tile asks for, and `level` is
            // this processor's.
            unsafe {
                let tile = Tile {
                    k,
                    a: data.as_ptr().add(a_start),
                    a_row,
                    a_col,
                    b: b.data.as_ptr().add(b_start),
                    b_row: b.row_stride,
                    c: c_tile,
                    c_row,
                    m: rows,
                    n,
                    base,
                    ahead: ahead.take(k / tile::K_PER_LINE),
                };
                tile::run(level, &tile);
            }
            row += rows;
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
        let until = a.data.len().min((from + K_BLOCK) * a.col_stride);
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
