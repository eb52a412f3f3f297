//! One product on one thread: blocks of k, and in each all tiles of C.

use super::{
    Left, Write,
    matrix::{Matrix, MatrixMut, Operands},
    pack::{Packed, pack_transposed},
    rounded::{Form, Rounded, round_rows},
    tile::{self, MOST_COLS, MR, Tile, panel_cols},
};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx512Bf16, features};
use crate::{
    scratch,
    simd::{Isa, simd},
};

/// Steps along k that one pass adds up in registers, of numbers or of pairs: a panel of B of that many takes 32 KiB with AVX-512, and
/// 16 with AVX2.
pub(super) const STEPS: usize = 256;

/// The same in elements of such a form: what is added up does not depend on the form of what was rounded.
fn steps_a_pass(form: Form) -> usize {
    match form {
        Form::Swapped => 2 * STEPS,
        _ => STEPS,
    }
}

/// The right operand as the tiles read it: panel p, of `cols` columns, starts at `p · panel_stride` and has steps `step_stride` apart.
pub(super) struct Rhs<'a> {
    data: &'a [f32],
    form: Form,
    k: usize,
    n: usize,
    cols: usize,
    panel_stride: usize,
    step_stride: usize,
}

impl<'a> Rhs<'a> {
    pub(super) fn panels(b: Packed<'a>) -> Self {
        let Packed { panels: data, form, k, n, cols, panel_stride } = b;
        Self { data, form, k, n, cols, panel_stride, step_stride: cols }
    }

    pub(super) fn rows(b: Matrix<'a>) -> Self {
        debug_assert!(b.col_stride == 1 && b.operands == Operands::F32, "only dense rows of f32 are read in place");
        let Matrix { data, rows: k, cols: n, row_stride: step_stride, .. } = b;
        let cols = panel_cols();
        Self { data, form: Form::Numbers, k, n, cols, panel_stride: cols, step_stride }
    }
}

/// C = A·B on this thread.
pub(super) fn multiply(a: Left<'_>, b: Rhs<'_>, mut c: MatrixMut<'_>, write: Write<'_>) {
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
    let (form, all_steps) = (b.form, b.form.steps(k));
    let k_a_step = k.div_ceil(all_steps);
    let far = if form == Form::Numbers { 2 * MOST_COLS } else { 1 };
    let transposed = matches!(a, Left::Matrix(a) if a.row_stride == 1 && a.col_stride > far);
    // packed groups of A and a panel of B share L1
    let block = if transposed { steps_a_pass(form) / 2 } else { steps_a_pass(form) };
    for from in (0..all_steps).step_by(block) {
        let steps = block.min(all_steps - from);
        let (first_k, end_k) = (from * k_a_step, ((from + steps) * k_a_step).min(k));
        let block = Block { from, steps, write: if from > 0 { Write::Add } else { write } };
        match (a, form) {
            // a transposed A whose k are far apart: bring the rows of each tile together, step by step
            (Left::Matrix(a), form) if transposed => scratch::with(m.div_ceil(MR) * MR * steps, |packed| {
                pack_transposed(&a.col_range(first_k, end_k - first_k), form, packed);
                for_tiles(Lhs::groups(packed, steps), Ahead::of_cols(&a, end_k), &b, block, &mut c);
            }),
            (Left::Matrix(a), Form::Numbers) => {
                let ahead = if from == 0 { Ahead::of_rows(&a) } else { Ahead::nothing() };
                for_tiles(Lhs::in_place(&a.col_range(first_k, end_k - first_k)), ahead, &b, block, &mut c);
            }
            (Left::Matrix(a), form) => scratch::with(m * steps, |elements| {
                round_rows(a.col_range(first_k, end_k - first_k), form, elements);
                let ahead = if from == 0 { Ahead::of_rows(&a) } else { Ahead::nothing() };
                for_tiles(Lhs::rows(elements, steps), ahead, &b, block, &mut c);
            }),
            (Left::Rounded(a), form) => {
                assert_eq!(form, a.form, "what a rounded operand is multiplied with is rounded too");
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
        let Rounded { elements, row_stride, step_stride, .. } = *a;
        Self { data: &elements[from * step_stride..], row_stride, step_stride, group_len: None }
    }

    /// In groups of MR rows, each step by step.
    fn groups(data: &'a [f32], steps: usize) -> Self {
        Self { data, row_stride: 1, step_stride: MR, group_len: Some(MR * steps) }
    }
}

/// All tiles of C for one block of k.
fn for_tiles(a: Lhs<'_>, ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>) {
    match b.form {
        Form::Numbers | Form::Swapped => tiles_of_numbers(a, ahead, b, block, c),
        #[cfg(target_arch = "x86_64")]
        Form::Pairs(isa) => tiles_of_pairs(isa, a, ahead, b, block, c),
    }
}

simd! {
    fn tiles_of_numbers<S>[isa](
        a: Lhs<'_>, ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>,
    ) {
        tiles(isa, a, ahead, b, block, c);
    }
}

/// Tiles by the instruction for a pair.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls what was compiled for a set that a token proves")]
fn tiles_of_pairs(isa: Avx512Bf16, a: Lhs<'_>, ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>) {
    features! {
        avx512bf16 compile fn compiled(
            isa: Avx512Bf16, a: Lhs<'_>, ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>,
        ) {
            tiles(isa, a, ahead, b, block, c);
        }
    }
    // SAFETY: the token proves that the processor has the features that the function is compiled for.
    unsafe { compiled(isa, a, ahead, b, block, c) }
}

#[inline(always)]
#[expect(unsafe_code, reason = "tiles work on pointers")]
fn tiles<S: Isa>(isa: S, a: Lhs<'_>, mut ahead: Ahead<'_>, b: &Rhs<'_>, block: Block<'_>, c: &mut MatrixMut<'_>) {
    let Block { from, steps, write } = block;
    let (m, c_row) = (c.rows, c.row_stride);
    // as even as possible: a last group of one row would leave most of the registers idle
    let rows_a_tile = if a.group_len.is_some() { MR } else { m.div_ceil(m.div_ceil(MR)) };
    for (panel, col) in (0..b.n).step_by(b.cols).enumerate() {
        let n = b.cols.min(b.n - col);
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
            // make rows 1..=MR and n 1..=MOST_COLS, and a block has steps.
            unsafe { tile::run(isa, &tile) };
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
