//! Operands rounded to bfloat16, two neighbours along k to an element of 32 bits, the first in its lower half.
//!
//! ```text
//! k₀ k₁ k₂ k₃ k₄  →  k₁|k₀  k₃|k₂  0|k₄
//! ```
//!
//! Elements stand in slices of f32, as bits that mean no number.

use rayon::prelude::*;

use super::matrix::{Matrix, Precision};
use crate::{
    bf16,
    simd::{Level, level, simd},
};

impl Precision {
    /// Steps that a product takes over `k`.
    pub(super) fn steps(self, k: usize) -> usize {
        match self {
            Self::F32 => k,
            Self::Bf16 => k.div_ceil(2),
        }
    }
}

/// A left operand rounded once, for many products with right operands in [`Precision::Bf16`].
#[derive(Clone, Copy, Debug)]
pub struct Rounded<'a> {
    pub(super) pairs: &'a [f32],
    pub(super) rows: usize,
    pub(super) k: usize,
}

impl<'a> Rounded<'a> {
    /// Elements that `rows` × `k` numbers take.
    pub fn len(rows: usize, k: usize) -> usize {
        rows * Precision::Bf16.steps(k)
    }

    /// Round `a` into `buffer`, over all threads.
    ///
    /// # Panics
    /// If `buffer` is not of [`Rounded::len`].
    pub fn par_round(a: Matrix<'_>, buffer: &'a mut [f32]) -> Self {
        assert_eq!(buffer.len(), Self::len(a.rows, a.cols), "pairs of {} × {}", a.rows, a.cols);
        let steps = Precision::Bf16.steps(a.cols).max(1);
        buffer.par_chunks_mut(steps * 64).enumerate().for_each(|(task, pairs)| {
            round_rows(a.row_range(64 * task, pairs.len() / steps), pairs);
        });
        Self { pairs: buffer, rows: a.rows, k: a.cols }
    }

    /// `count` rows from `start`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn row_range(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.rows, "rows {start}..{} of {}", start + count, self.rows);
        let steps = Precision::Bf16.steps(self.k);
        Self { pairs: &self.pairs[start * steps..][..count * steps], rows: count, ..self }
    }
}

/// The rows of `a`, one after the other.
pub(super) fn round_rows(a: Matrix<'_>, pairs: &mut [f32]) {
    let steps = Precision::Bf16.steps(a.cols);
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

/// Columns of step `step` of a matrix whose rows (along k) are dense: `from..from + pairs.len()`.
pub(super) fn round_columns(b: &Matrix<'_>, step: usize, from: usize, pairs: &mut [f32]) {
    let n = pairs.len();
    let even = &b.data[2 * step * b.row_stride + from..][..n];
    if 2 * step + 1 < b.rows {
        across(even, &b.data[(2 * step + 1) * b.row_stride + from..][..n], pairs);
    } else {
        pairs.iter_mut().zip(even).for_each(|(slot, x)| *slot = pair(*x, 0.0));
    }
}

/// Pairs of neighbours.
fn along(x: &[[f32; 2]], pairs: &mut [f32]) {
    let (xs, last) = x.as_chunks::<LANES>();
    let (slots, last_slots) = pairs[..x.len()].as_chunks_mut::<LANES>();
    if level() == Level::Avx512Bf16 {
        lanes::along(xs, slots);
    } else {
        along_portable(xs.as_flattened(), slots.as_flattened_mut());
    }
    along_portable(last, last_slots);
}

/// Pairs of one of `even` and one of `odd`.
fn across(even: &[f32], odd: &[f32], pairs: &mut [f32]) {
    let (evens, last_even) = even.as_chunks::<LANES>();
    let (odds, last_odd) = odd.as_chunks::<LANES>();
    let (slots, last_slots) = pairs.as_chunks_mut::<LANES>();
    if level() == Level::Avx512Bf16 {
        lanes::across(evens, odds, slots);
    } else {
        across_portable(evens.as_flattened(), odds.as_flattened(), slots.as_flattened_mut());
    }
    across_portable(last_even, last_odd, last_slots);
}

simd! {
    fn along_portable<S>(x: &[[f32; 2]], pairs: &mut [f32]) {
        for (slot, [even, odd]) in pairs.iter_mut().zip(x) {
            *slot = pair(*even, *odd);
        }
    }
}

simd! {
    fn across_portable<S>(even: &[f32], odd: &[f32], pairs: &mut [f32]) {
        for ((slot, even), odd) in pairs.iter_mut().zip(even).zip(odd) {
            *slot = pair(*even, *odd);
        }
    }
}

/// Pairs of one register.
const LANES: usize = 16;

/// The conversions of AVX-512 BF16, which round two registers at once and take subnormal numbers for 0. Only called at
/// that level.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "intrinsics behind the level")]
mod lanes {
    use std::arch::x86_64::*;

    use super::LANES;

    pub(super) fn along(x: &[[[f32; 2]; LANES]], pairs: &mut [[f32; LANES]]) {
        #[target_feature(enable = "avx512bf16,avx512f")]
        fn convert(x: &[[[f32; 2]; LANES]], pairs: &mut [[f32; LANES]]) {
            for (slots, x) in pairs.iter_mut().zip(x) {
                let x = x.as_flattened();
                // SAFETY: two registers are what an element of `x` holds, one what an element of `pairs` does.
                unsafe {
                    let (low, high) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(LANES)));
                    slots.as_mut_ptr().cast::<__m512bh>().write_unaligned(_mm512_cvtne2ps_pbh(high, low));
                }
            }
        }
        // SAFETY: the level says that the processor has the instructions.
        unsafe { convert(x, pairs) }
    }

    pub(super) fn across(even: &[[f32; LANES]], odd: &[[f32; LANES]], pairs: &mut [[f32; LANES]]) {
        #[target_feature(enable = "avx512bf16,avx512bw,avx512f")]
        fn convert(even: &[[f32; LANES]], odd: &[[f32; LANES]], pairs: &mut [[f32; LANES]]) {
            // 0, 16, 1, 17, …
            const ORDER: [u16; 2 * LANES] = {
                let mut order = [0; 2 * LANES];
                let mut i = 0;
                while i < LANES {
                    (order[2 * i], order[2 * i + 1]) = (i as u16, (LANES + i) as u16);
                    i += 1;
                }
                order
            };
            // SAFETY: each load and store is of one register, as are the elements of the slices and `ORDER`.
            unsafe {
                let order = _mm512_loadu_si512(ORDER.as_ptr().cast());
                for ((slots, even), odd) in pairs.iter_mut().zip(even).zip(odd) {
                    let (even, odd) = (_mm512_loadu_ps(even.as_ptr()), _mm512_loadu_ps(odd.as_ptr()));
                    let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(odd, even));
                    _mm512_storeu_si512(slots.as_mut_ptr().cast(), _mm512_permutexvar_epi16(order, halves));
                }
            }
        }
        // SAFETY: the level says that the processor has the instructions.
        unsafe { convert(even, odd, pairs) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod lanes {
    use super::LANES;

    pub(super) fn along(_: &[[[f32; 2]; LANES]], _: &mut [[f32; LANES]]) {
        unreachable!("no level above the portable one");
    }

    pub(super) fn across(_: &[[f32; LANES]], _: &[[f32; LANES]], _: &mut [[f32; LANES]]) {
        unreachable!("no level above the portable one");
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

/// The two numbers of a pair.
#[inline(always)]
pub(super) fn split(pair: f32) -> [f32; 2] {
    [f32::from_bits(pair.to_bits() << 16), f32::from_bits(pair.to_bits() & 0xffff_0000)]
}
