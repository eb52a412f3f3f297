//! Operands copied into the order in which tiles read them.

use rayon::prelude::*;

use super::{
    matrix::{Matrix, Right},
    rounded::{Form, round_columns, round_row, take_rounded},
    tile::{MOST_COLS, MR, panel_cols},
};
use crate::scratch;
#[cfg(target_arch = "x86_64")]
use crate::simd::{self, features};

/// B in panels of 32 columns with AVX-512 and of 16 elsewhere, each step by step of k: what the tiles read in one stream.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    pub(super) panels: &'a [f32],
    pub(super) form: Form,
    pub(super) k: usize,
    pub(super) n: usize,
    /// Columns of a panel.
    pub(super) cols: usize,
    /// Elements between the starts of two panels.
    pub(super) panel_stride: usize,
}

impl<'a> Packed<'a> {
    /// Elements that a packed `k` × `n` matrix takes at most.
    pub fn len(k: usize, n: usize) -> usize {
        n.next_multiple_of(MOST_COLS) * k.next_multiple_of(2)
    }

    /// Pack `b` [k, n] into `buffer`, of which up to [`Packed::len`] elements are used.
    ///
    /// # Panics
    /// If `buffer` is too short.
    pub fn pack<'b>(b: impl Into<Right<'b>>, buffer: &'a mut [f32]) -> Self {
        let b = b.into();
        Self::fill(&b, buffer, |panels, len, form, cols| {
            let panels = panels.chunks_exact_mut(len).enumerate();
            panels.for_each(|(panel, buffer)| pack_panel(&b, form, panel * cols, cols, buffer));
        })
    }

    /// Pack `b` over all threads.
    ///
    /// # Panics
    /// If `buffer` is too short.
    pub fn par_pack<'b>(b: impl Into<Right<'b>>, buffer: &'a mut [f32]) -> Self {
        let b = b.into();
        Self::fill(&b, buffer, |panels, len, form, cols| {
            let panels = panels.par_chunks_exact_mut(len).enumerate();
            panels.for_each(|(panel, buffer)| pack_panel(&b, form, panel * cols, cols, buffer));
        })
    }

    /// What [`Packed::pack`] made of `k` × `n` numbers in [`Operands::F32`](super::Operands::F32), in the buffer that it was given, at the
    /// level in use.
    ///
    /// # Panics
    /// If the buffer is shorter.
    pub fn of_panels(buffer: &'a [f32], k: usize, n: usize) -> Self {
        let cols = panel_cols();
        let panel_stride = cols * k;
        Self { panels: &buffer[..n.div_ceil(cols) * panel_stride], form: Form::Numbers, k, n, cols, panel_stride }
    }

    /// Rows `start..start + count`, the first of them even.
    ///
    /// # Panics
    /// If there are fewer, or the first row is odd.
    pub(crate) fn row_range(self, start: usize, count: usize) -> Self {
        assert!(start.is_multiple_of(2) && start + count <= self.k, "rows {start}..{} of {}", start + count, self.k);
        Self { panels: &self.panels[self.cols * self.form.steps(start)..], k: count, ..self }
    }

    /// The panels of `b`, which `write` makes from what of `buffer` they take, the length of one, not 0, their form, and the columns
    /// of one.
    fn fill(b: &Right<'_>, buffer: &'a mut [f32], write: impl FnOnce(&mut [f32], usize, Form, usize)) -> Self {
        let ((k, n), form, cols) = (b.shape(), Form::of(b.operands()), panel_cols());
        let len = cols * form.steps(k);
        let panels = &mut buffer[..n.div_ceil(cols) * len];
        write(panels, len.max(1), form, cols);
        Self { panels, form, k, n, cols, panel_stride: len }
    }
}

/// Columns `from..from + width` of `b` step by step, zeros beyond the last one.
fn pack_panel(b: &Right<'_>, form: Form, from: usize, width: usize, panel: &mut [f32]) {
    let cols = (b.shape().1 - from).min(width);
    let b = match b {
        Right::Matrix(b) => b,
        Right::Rounded { numbers, rows, cols: stride } => {
            take_rounded(&numbers[from.min(numbers.len())..], *stride, *rows, cols, form, panel, width);
            return zero_beyond(cols, width, panel);
        }
    };
    match form {
        Form::Numbers => copy_panel(b, from, width, panel),
        _ if b.col_stride == 1 => {
            round_columns(b, from, cols, form, panel, width);
            zero_beyond(cols, width, panel);
        }
        _ => {
            let steps = panel.len() / width;
            scratch::with(cols * steps, |columns| {
                for (col, elements) in columns.chunks_exact_mut(steps).enumerate() {
                    round_row(&b.data[(from + col) * b.col_stride..], b.row_stride, b.rows, form, elements);
                }
                copy_panel(&Matrix::new(columns, cols, steps).t(), 0, width, panel);
            });
        }
    }
}

/// Zeros beyond the first `cols` columns of a panel of `width`.
fn zero_beyond(cols: usize, width: usize, panel: &mut [f32]) {
    if cols < width {
        panel.chunks_exact_mut(width).for_each(|row| row[cols..].fill(0.0));
    }
}

/// Copy columns `from..from + width` of `b` row by row, zeros beyond the last one.
fn copy_panel(b: &Matrix<'_>, from: usize, width: usize, panel: &mut [f32]) {
    let cols = (b.cols - from).min(width);
    if b.col_stride == 1 {
        for (k, row) in panel.chunks_exact_mut(width).enumerate() {
            let start = k * b.row_stride + from;
            row[..cols].copy_from_slice(&b.data[start..start + cols]);
            row[cols..].fill(0.0);
        }
        return;
    }
    let blocks = if b.row_stride == 1 { copy_transposed(b, from, cols, width, panel) } else { (0, 0) };
    for c in 0..cols {
        let done = if c < 8 * blocks.1 { 8 * blocks.0 } else { 0 };
        if done == b.rows {
            continue;
        }
        let column = b.data[(from + c) * b.col_stride + done * b.row_stride..].iter().step_by(b.row_stride);
        for (row, value) in panel.chunks_exact_mut(width).skip(done).zip(column) {
            row[c] = *value;
        }
    }
    zero_beyond(cols, width, panel);
}

/// Copy squares of eight columns `from` on, whose elements stand side by side, as rows of the panel, where registers can
/// turn them: how many squares of 8 rows, and of 8 of the `cols` columns, are done.
fn copy_transposed(b: &Matrix<'_>, from: usize, cols: usize, width: usize, panel: &mut [f32]) -> (usize, usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(isa) = simd::Avx2::in_use() {
        let (rows, columns) = (b.rows / 8, cols / 8);
        for col in 0..columns {
            for row in 0..rows {
                let square = &b.data[(from + 8 * col) * b.col_stride + 8 * row..];
                transpose_8x8(isa, square, b.col_stride, &mut panel[8 * row * width + 8 * col..], width);
            }
        }
        return (rows, columns);
    }
    let _ = (b, from, cols, width, panel);
    (0, 0)
}

/// Write eight columns of eight elements, `stride` apart, as eight rows `width` apart.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions of a set that a token proves")]
fn transpose_8x8(_isa: simd::Avx2, columns: &[f32], stride: usize, rows: &mut [f32], width: usize) {
    use std::arch::x86_64::*;

    features! {
        avx2 compile unsafe fn shuffle(from: *const f32, stride: usize, to: *mut f32, width: usize) {
            // SAFETY: the assertion below: eight runs of eight elements begin `stride` apart at `from`, and `width` apart at `to`.
            unsafe {
                let r: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * stride)));
                let low: [__m256; 4] = std::array::from_fn(|i| _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]));
                let high: [__m256; 4] = std::array::from_fn(|i| _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]));
                // four rows of each 4×4 quarter: elements 0, 1, 2, 3 of columns 4j..4j + 4
                let quarters: [[__m256; 4]; 2] = std::array::from_fn(|j| {
                    [
                        _mm256_shuffle_ps::<0x44>(low[2 * j], low[2 * j + 1]),
                        _mm256_shuffle_ps::<0xee>(low[2 * j], low[2 * j + 1]),
                        _mm256_shuffle_ps::<0x44>(high[2 * j], high[2 * j + 1]),
                        _mm256_shuffle_ps::<0xee>(high[2 * j], high[2 * j + 1]),
                    ]
                });
                let [left, right] = quarters;
                for (i, (left, right)) in left.into_iter().zip(right).enumerate() {
                    _mm256_storeu_ps(to.add(i * width), _mm256_permute2f128_ps::<0x20>(left, right));
                    _mm256_storeu_ps(to.add((i + 4) * width), _mm256_permute2f128_ps::<0x31>(left, right));
                }
            }
        }
    }

    assert!(columns.len() >= 7 * stride + 8 && rows.len() >= 7 * width + 8);
    // SAFETY: the assertion above is what `shuffle` touches; the token proves that the processor has the features that it
    // is compiled for.
    unsafe { shuffle(columns.as_ptr(), stride, rows.as_mut_ptr(), width) }
}

/// Copy a transposed A in groups of MR rows, each group step by step.
pub(super) fn pack_transposed(a: &Matrix<'_>, form: Form, packed: &mut [f32]) {
    let steps = form.steps(a.cols);
    if form == Form::Numbers {
        for step in 0..steps {
            spread(&a.data[step * a.col_stride..][..a.rows], step, steps, packed);
        }
        return;
    }
    let steps_a_pair = form.steps(2);
    scratch::with(steps_a_pair * a.rows, |elements| {
        for (pair, first) in (0..steps).step_by(steps_a_pair).enumerate() {
            let two = a.t().row_range(2 * pair, 2.min(a.cols - 2 * pair));
            round_columns(&two, 0, a.rows, form, elements, a.rows);
            for (step, elements) in elements.chunks_exact(a.rows).enumerate() {
                spread(elements, first + step, steps, packed);
            }
        }
    });
}

/// Put one step's elements into their groups.
fn spread(elements: &[f32], step: usize, steps: usize, packed: &mut [f32]) {
    let (groups, last) = elements.as_chunks::<MR>();
    for (group, values) in groups.iter().enumerate() {
        let start = (group * steps + step) * MR;
        packed[start..start + MR].copy_from_slice(values);
    }
    let start = (groups.len() * steps + step) * MR;
    if !last.is_empty() {
        packed[start..start + last.len()].copy_from_slice(last);
    }
}
