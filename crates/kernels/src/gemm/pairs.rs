//! Operands rounded to bfloat16, two neighbours along k to an element of 32 bits, the first in its lower half.
//!
//! ```text
//! k₀ k₁ k₂ k₃ k₄  →  k₁|k₀  k₃|k₂  0|k₄
//! ```
//!
//! Elements stand in slices of f32, as bits that mean no number.

use rayon::prelude::*;

use super::matrix::{Matrix, Operands};
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512Bf16;
use crate::{bf16, simd::simd};

impl Operands {
    /// Steps that a product takes over `k`.
    pub(super) fn steps(self, k: usize) -> usize {
        match self {
            Self::F32 => k,
            Self::Bf16 => k.div_ceil(2),
        }
    }
}

/// A left operand rounded once, for many products with right operands in [`Operands::Bf16`]: element (r, step) is
/// `pairs[r · row_stride + step · step_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Rounded<'a> {
    pub(super) pairs: &'a [f32],
    pub(super) rows: usize,
    pub(super) k: usize,
    pub(super) row_stride: usize,
    pub(super) step_stride: usize,
}

impl<'a> Rounded<'a> {
    /// Elements that `rows` × `k` numbers take.
    pub fn len(rows: usize, k: usize) -> usize {
        rows * Operands::Bf16.steps(k)
    }

    /// Round `a` into `buffer`, of which [`Rounded::len`] elements are used: row by row, or step by step if that is how
    /// `a` is stored.
    ///
    /// # Panics
    /// If `buffer` is too short.
    pub fn round(a: Matrix<'_>, buffer: &'a mut [f32]) -> Self {
        let pairs = &mut buffer[..Self::len(a.rows, a.cols)];
        let (rows, k) = a.shape();
        if a.row_stride == 1 && a.col_stride > 1 {
            round_columns(&a.t(), 0, rows, pairs, rows);
            return Self { pairs, rows, k, row_stride: 1, step_stride: rows };
        }
        round_rows(a, pairs);
        Self { pairs, rows, k, row_stride: Operands::Bf16.steps(k), step_stride: 1 }
    }

    /// Round the dense rows of `a` into `buffer`, over all threads.
    ///
    /// # Panics
    /// If `buffer` is not of [`Rounded::len`].
    pub fn par_round(a: Matrix<'_>, buffer: &'a mut [f32]) -> Self {
        assert_eq!(buffer.len(), Self::len(a.rows, a.cols), "pairs of {} × {}", a.rows, a.cols);
        let steps = Operands::Bf16.steps(a.cols);
        buffer.par_chunks_mut(steps.max(1) * 64).enumerate().for_each(|(task, pairs)| {
            round_rows(a.row_range(64 * task, pairs.len() / steps.max(1)), pairs);
        });
        Self { pairs: buffer, rows: a.rows, k: a.cols, row_stride: steps, step_stride: 1 }
    }

    /// `count` rows from `start`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn row_range(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.rows, "rows {start}..{} of {}", start + count, self.rows);
        let from = (start * self.row_stride).min(self.pairs.len());
        Self { pairs: &self.pairs[from..], rows: count, ..self }
    }
}

/// The rows of `a`, one after the other.
pub(super) fn round_rows(a: Matrix<'_>, pairs: &mut [f32]) {
    let steps = Operands::Bf16.steps(a.cols);
    if a.col_stride == 1 && a.row_stride == a.cols && a.cols.is_multiple_of(2) {
        return round_row(a.data, 1, a.rows * a.cols, pairs);
    }
    for (r, pairs) in pairs.chunks_exact_mut(steps.max(1)).enumerate().take(a.rows) {
        round_row(&a.data[r * a.row_stride..], a.col_stride, a.cols, pairs);
    }
}

/// `k` numbers that stand `stride` apart.
pub(super) fn round_row(x: &[f32], stride: usize, k: usize, pairs: &mut [f32]) {
    if stride == 1 {
        let (whole, last) = x[..k].as_chunks::<2>();
        along(whole, pairs);
        if let [last] = last {
            pairs[k / 2] = pair(*last, 0.0);
        }
    } else {
        for (step, slot) in pairs.iter_mut().enumerate().take(k.div_ceil(2)) {
            let odd = if 2 * step + 1 < k { x[(2 * step + 1) * stride] } else { 0.0 };
            *slot = pair(x[2 * step * stride], odd);
        }
    }
}

/// Columns `from..from + n` of a matrix whose rows (along k) are dense, step by step, `stride` elements apart.
pub(super) fn round_columns(b: &Matrix<'_>, from: usize, n: usize, pairs: &mut [f32], stride: usize) {
    let rows = b.data.get(from..).unwrap_or(&[]);
    let whole = b.rows / 2;
    across(rows, b.row_stride, whole, n, pairs, stride);
    if !b.rows.is_multiple_of(2) {
        let last = &rows[2 * whole * b.row_stride..][..n];
        pairs[whole * stride..].iter_mut().zip(last).for_each(|(slot, x)| *slot = pair(*x, 0.0));
    }
}

/// Pairs of neighbours.
fn along(x: &[[f32; 2]], pairs: &mut [f32]) {
    let (xs, last) = x.as_chunks::<LANES>();
    let (slots, last_slots) = pairs[..x.len()].as_chunks_mut::<LANES>();
    along_registers(xs, slots);
    along_portable(last, last_slots);
}

simd! {
    fn along_portable<S>(x: &[[f32; 2]], pairs: &mut [f32]) {
        for (slot, [even, odd]) in pairs.iter_mut().zip(x) {
            *slot = pair(*even, *odd);
        }
    }
}

simd! {
    fn across_portable<S>(x: &[f32], row_stride: usize, steps: usize, n: usize, pairs: &mut [f32], stride: usize) {
        for step in 0..steps {
            let (even, odd) = (&x[2 * step * row_stride..][..n], &x[(2 * step + 1) * row_stride..][..n]);
            for ((slot, even), odd) in pairs[step * stride..][..n].iter_mut().zip(even).zip(odd) {
                *slot = pair(*even, *odd);
            }
        }
    }
}

simd! {
    /// Pairs of the first `n` elements of two rows of numbers rounded before, `k` rows `row_stride` apart. Subnormal ones
    /// count as 0.
    pub(super) fn interleave<S>(
        x: &[u16],
        row_stride: usize,
        k: usize,
        n: usize,
        pairs: &mut [f32],
        stride: usize,
    ) {
        const EXPONENT: u16 = 0x7f80;
        let normal = |x: u16| if x & EXPONENT == 0 { 0 } else { u32::from(x) };
        for step in 0..k / 2 {
            let (even, odd) = (&x[2 * step * row_stride..][..n], &x[(2 * step + 1) * row_stride..][..n]);
            for ((slot, even), odd) in pairs[step * stride..][..n].iter_mut().zip(even).zip(odd) {
                *slot = f32::from_bits(normal(*odd) << 16 | normal(*even));
            }
        }
        if !k.is_multiple_of(2) {
            let last = &x[(k - 1) * row_stride..][..n];
            pairs[k / 2 * stride..].iter_mut().zip(last).for_each(|(slot, x)| *slot = f32::from_bits(normal(*x)));
        }
    }
}

/// Pairs of one register.
const LANES: usize = 16;

fn along_registers(x: &[[[f32; 2]; LANES]], pairs: &mut [[f32; LANES]]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(isa) = Avx512Bf16::in_use() {
        return converted::along(isa, x, pairs);
    }
    along_portable(x.as_flattened(), pairs.as_flattened_mut());
}

/// Pairs of the first `n` elements of two rows, for `steps` times two rows `row_stride` apart.
fn across(x: &[f32], row_stride: usize, steps: usize, n: usize, pairs: &mut [f32], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(isa) = Avx512Bf16::in_use() {
        return converted::across(isa, x, row_stride, steps, n, pairs, stride);
    }
    across_portable(x, row_stride, steps, n, pairs, stride);
}

/// The conversions of AVX-512 BF16, which round two registers at once and take subnormal numbers for 0.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions of a set that a token proves")]
mod converted {
    use std::arch::x86_64::*;

    use super::{Avx512Bf16, LANES};
    use crate::simd::features;

    /// As the portable form.
    pub(super) fn along(_isa: Avx512Bf16, x: &[[[f32; 2]; LANES]], pairs: &mut [[f32; LANES]]) {
        features! {
            avx512bf16 compile fn convert(x: &[[[f32; 2]; LANES]], pairs: &mut [[f32; LANES]]) {
                for (slots, x) in pairs.iter_mut().zip(x) {
                    let x = x.as_flattened();
                    // SAFETY: an element of `x` is 2·LANES floats, two registers; one of `pairs` is LANES, one register.
                    unsafe {
                        let (low, high) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(LANES)));
                        slots.as_mut_ptr().cast::<__m512bh>().write_unaligned(_mm512_cvtne2ps_pbh(high, low));
                    }
                }
            }
        }
        // SAFETY: the token proves that the processor has the features that the function is compiled for.
        unsafe { convert(x, pairs) }
    }

    /// As the portable form.
    pub(super) fn across(
        _isa: Avx512Bf16,
        x: &[f32],
        row_stride: usize,
        steps: usize,
        n: usize,
        pairs: &mut [f32],
        stride: usize,
    ) {
        /// 0, 16, 1, 17, …
        const ORDER: [u16; 2 * LANES] = {
            let mut order = [0; 2 * LANES];
            let mut i = 0;
            while i < LANES {
                (order[2 * i], order[2 * i + 1]) = (i as u16, (LANES + i) as u16);
                i += 1;
            }
            order
        };
        features! {
            avx512bf16 compile fn convert(
                x: &[f32], row_stride: usize, steps: usize, n: usize, pairs: &mut [f32], stride: usize,
            ) {
                for step in 0..steps {
                    let (even, odd) = (&x[2 * step * row_stride..][..n], &x[(2 * step + 1) * row_stride..][..n]);
                    let slots = &mut pairs[step * stride..][..n];
                    for at in (0..n).step_by(LANES) {
                        let mask = if n - at >= LANES { u16::MAX } else { (1 << (n - at)) - 1 };
                        // SAFETY: `mask` leaves out what lies beyond the n elements of each slice; `ORDER` is one register.
                        unsafe {
                            let order = _mm512_loadu_si512(ORDER.as_ptr().cast());
                            let even = _mm512_maskz_loadu_ps(mask, even.as_ptr().add(at));
                            let odd = _mm512_maskz_loadu_ps(mask, odd.as_ptr().add(at));
                            let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(odd, even));
                            let halves = _mm512_permutexvar_epi16(order, halves);
                            _mm512_mask_storeu_epi32(slots.as_mut_ptr().add(at).cast(), mask, halves);
                        }
                    }
                }
            }
        }
        // SAFETY: the token proves that the processor has the features that the function is compiled for.
        unsafe { convert(x, row_stride, steps, n, pairs, stride) }
    }
}

#[inline(always)]
fn pair(even: f32, odd: f32) -> f32 {
    f32::from_bits(normal(odd) << 16 | normal(even))
}

/// The bits of the nearest bfloat16, a zero if `x` is subnormal.
#[inline(always)]
fn normal(x: f32) -> u32 {
    const EXPONENT: u32 = 0x7f80_0000;
    if x.to_bits() & EXPONENT == 0 { 0 } else { bf16::nearest(x) }
}
