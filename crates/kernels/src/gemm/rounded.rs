//! Operands rounded to bfloat16, in one of two forms: pairs, where the processor multiplies two pairs and adds both products faster
//! than it does so one by one, and f32 elsewhere.
//!
//! ```text
//! k₀ k₁ k₂ k₃ k₄  →  k₁|k₀  k₃|k₂  0|k₄          pairs: an element of 32 bits each, the first in its lower half
//!                 →  k₁  k₀  k₃  k₂  0  k₄       numbers, in the order in which pairs are added
//! ```
//!
//! Both give the same bits. Elements stand in slices of f32; those of pairs mean no number.

use rayon::prelude::*;

use super::matrix::{Matrix, Operands};
#[cfg(target_arch = "x86_64")]
use super::pairs;
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512Bf16;
use crate::{bf16, simd::simd};

/// What tiles read of operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The numbers themselves.
    Numbers,
    /// Rounded numbers, the second of two neighbours first. A last one that has no neighbour comes after a zero.
    Swapped,
    /// Rounded numbers, two neighbours an element.
    #[cfg(target_arch = "x86_64")]
    Pairs(Avx512Bf16),
}

impl Form {
    /// In which operands are read at the level in use.
    pub(super) fn of(operands: Operands) -> Self {
        match operands {
            Operands::F32 => Self::Numbers,
            #[cfg(target_arch = "x86_64")]
            Operands::Bf16 => Avx512Bf16::in_use().map_or(Self::Swapped, Self::Pairs),
            #[cfg(not(target_arch = "x86_64"))]
            Operands::Bf16 => Self::Swapped,
        }
    }

    /// Steps that a product takes over `k`, an element each.
    pub(super) fn steps(self, k: usize) -> usize {
        match self {
            Self::Numbers => k,
            Self::Swapped => k.next_multiple_of(2),
            #[cfg(target_arch = "x86_64")]
            Self::Pairs(_) => k.div_ceil(2),
        }
    }
}

impl Operands {
    /// Whether products of these take pairs of operands at a step, at the level in use: those of bfloat16 where the processor's
    /// dot products are faster than multiply-adds of f32, by which all others are made. Both give the same bits.
    pub fn are_paired(self) -> bool {
        Form::of(self).steps(2) == 1
    }
}

/// A left operand rounded once, for many products with right operands in [`Operands::Bf16`]: element (r, step) is
/// `elements[r · row_stride + step · step_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Rounded<'a> {
    pub(super) elements: &'a [f32],
    pub(super) form: Form,
    pub(super) rows: usize,
    pub(super) k: usize,
    pub(super) row_stride: usize,
    pub(super) step_stride: usize,
}

impl<'a> Rounded<'a> {
    /// Elements that `rows` × `k` numbers take.
    pub fn len(rows: usize, k: usize) -> usize {
        rows * Form::of(Operands::Bf16).steps(k)
    }

    /// Round `a` into `buffer`, of which [`Rounded::len`] elements are used: row by row, or step by step if that is how
    /// `a` is stored.
    ///
    /// # Panics
    /// If `buffer` is too short.
    pub fn round(a: Matrix<'_>, buffer: &'a mut [f32]) -> Self {
        let form = Form::of(Operands::Bf16);
        let (rows, k) = a.shape();
        let elements = &mut buffer[..rows * form.steps(k)];
        if a.row_stride == 1 && a.col_stride > 1 {
            round_columns(&a.t(), 0, rows, form, elements, rows);
            return Self { elements, form, rows, k, row_stride: 1, step_stride: rows };
        }
        round_rows(a, form, elements);
        Self { elements, form, rows, k, row_stride: form.steps(k), step_stride: 1 }
    }

    /// Round the dense rows of `a` into `buffer`, over all threads.
    ///
    /// # Panics
    /// If `buffer` is not of [`Rounded::len`].
    pub fn par_round(a: Matrix<'_>, buffer: &'a mut [f32]) -> Self {
        let form = Form::of(Operands::Bf16);
        let (rows, k, steps) = (a.rows, a.cols, form.steps(a.cols));
        assert_eq!(buffer.len(), rows * steps, "rounded elements of {rows} × {k}");
        buffer.par_chunks_mut(steps.max(1) * 64).enumerate().for_each(|(task, elements)| {
            round_rows(a.row_range(64 * task, elements.len() / steps.max(1)), form, elements);
        });
        Self { elements: buffer, form, rows, k, row_stride: steps, step_stride: 1 }
    }

    /// `count` rows from `start`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn row_range(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.rows, "rows {start}..{} of {}", start + count, self.rows);
        let from = (start * self.row_stride).min(self.elements.len());
        Self { elements: &self.elements[from..], rows: count, ..self }
    }
}

/// The rows of `a`, one after the other.
pub(super) fn round_rows(a: Matrix<'_>, form: Form, elements: &mut [f32]) {
    let steps = form.steps(a.cols);
    if a.col_stride == 1 && a.row_stride == a.cols && a.cols.is_multiple_of(2) {
        return round_row(a.data, 1, a.rows * a.cols, form, elements);
    }
    for (r, elements) in elements.chunks_exact_mut(steps.max(1)).enumerate().take(a.rows) {
        round_row(&a.data[r * a.row_stride..], a.col_stride, a.cols, form, elements);
    }
}

/// `k` numbers that stand `stride` apart.
pub(super) fn round_row(x: &[f32], stride: usize, k: usize, form: Form, elements: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Form::Pairs(isa) = form {
        return pairs::round_row(isa, x, stride, k, elements);
    }
    debug_assert_eq!(form, Form::Swapped);
    let (slots, _) = elements.as_chunks_mut();
    if stride == 1 {
        swap_along(x[..k].as_chunks().0, slots);
    } else {
        let pair = |step: usize| [x[2 * step * stride], x[(2 * step + 1) * stride]];
        slots.iter_mut().enumerate().take(k / 2).for_each(|(step, slot)| *slot = swapped(pair(step)));
    }
    if !k.is_multiple_of(2) {
        slots[k / 2] = swapped([x[(k - 1) * stride], 0.0]);
    }
}

/// Columns `from..from + n` of a matrix whose rows (along k) are dense, step by step, `stride` elements apart.
pub(super) fn round_columns(b: &Matrix<'_>, from: usize, n: usize, form: Form, elements: &mut [f32], stride: usize) {
    let (rows, k) = (b.data.get(from..).unwrap_or(&[]), b.rows);
    #[cfg(target_arch = "x86_64")]
    if let Form::Pairs(isa) = form {
        return pairs::round_columns(isa, rows, b.row_stride, k, n, elements, stride);
    }
    debug_assert_eq!(form, Form::Swapped);
    for at in 0..k {
        round_line(&rows[at * b.row_stride..][..n], &mut elements[swapped_step(at, k) * stride..][..n]);
    }
    if !k.is_multiple_of(2) {
        elements[(k - 1) * stride..][..n].fill(0.0);
    }
}

/// The first `n` elements of `k` rows of numbers rounded before, `row_stride` apart, step by step. Subnormal ones count as 0.
pub(super) fn take_rounded(
    x: &[u16],
    row_stride: usize,
    k: usize,
    n: usize,
    form: Form,
    elements: &mut [f32],
    stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if let Form::Pairs(_) = form {
        return pairs::interleave(x, row_stride, k, n, elements, stride);
    }
    debug_assert_eq!(form, Form::Swapped);
    for at in 0..k {
        widen_line(&x[at * row_stride..][..n], &mut elements[swapped_step(at, k) * stride..][..n]);
    }
    if !k.is_multiple_of(2) {
        elements[(k - 1) * stride..][..n].fill(0.0);
    }
}

/// The step of number `at` of `k`: that of its neighbour, or the one behind a zero.
fn swapped_step(at: usize, k: usize) -> usize {
    if at ^ 1 < k { at ^ 1 } else { at + 1 }
}

simd! {
    fn swap_along<S>(x: &[[f32; 2]], slots: &mut [[f32; 2]]) {
        for (slot, x) in slots.iter_mut().zip(x) {
            *slot = swapped(*x);
        }
    }
}

simd! {
    fn round_line<S>(x: &[f32], slots: &mut [f32]) {
        for (slot, x) in slots.iter_mut().zip(x) {
            *slot = f32::from_bits(bf16::nearest_normal(*x) << 16);
        }
    }
}

simd! {
    fn widen_line<S>(x: &[u16], slots: &mut [f32]) {
        for (slot, x) in slots.iter_mut().zip(x) {
            *slot = f32::from_bits(bf16::normal(*x) << 16);
        }
    }
}

#[inline(always)]
fn swapped([even, odd]: [f32; 2]) -> [f32; 2] {
    [f32::from_bits(bf16::nearest_normal(odd) << 16), f32::from_bits(bf16::nearest_normal(even) << 16)]
}
