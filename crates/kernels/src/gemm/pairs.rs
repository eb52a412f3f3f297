//! Pairs of bfloat16, which the dot product of AVX-512 BF16 multiplies and adds up. Its conversions round two registers at once and
//! take subnormal numbers for 0.

#![expect(unsafe_code, reason = "instructions of a set that a token proves")]

use std::arch::x86_64::*;

use crate::{
    bf16::{nearest_normal, normal},
    simd::{Avx512Bf16, features, simd},
};

/// Pairs of one register.
const LANES: usize = 16;

/// `k` numbers that stand `stride` apart.
pub(super) fn round_row(isa: Avx512Bf16, x: &[f32], stride: usize, k: usize, pairs: &mut [f32]) {
    if stride == 1 {
        let (whole, last) = x[..k].as_chunks::<2>();
        let (xs, rest) = whole.as_chunks::<LANES>();
        let (slots, _) = pairs[..whole.len()].as_chunks_mut::<LANES>();
        registers_along(isa, xs, slots);
        let slots = &mut pairs[LANES * xs.len()..];
        slots.iter_mut().zip(rest).for_each(|(slot, [even, odd])| *slot = pair(*even, *odd));
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

/// The first `n` elements of `k` rows `row_stride` apart, step by step, `stride` pairs apart.
pub(super) fn round_columns(
    isa: Avx512Bf16,
    rows: &[f32],
    row_stride: usize,
    k: usize,
    n: usize,
    pairs: &mut [f32],
    stride: usize,
) {
    across(isa, rows, row_stride, k / 2, n, pairs, stride);
    if !k.is_multiple_of(2) {
        let last = &rows[(k - 1) * row_stride..][..n];
        pairs[k / 2 * stride..].iter_mut().zip(last).for_each(|(slot, x)| *slot = pair(*x, 0.0));
    }
}

simd! {
    /// [`round_columns`] of numbers that were rounded before.
    pub(super) fn interleave<S>(
        x: &[u16],
        row_stride: usize,
        k: usize,
        n: usize,
        pairs: &mut [f32],
        stride: usize,
    ) {
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

/// Pairs of neighbours, a register at a time.
fn registers_along(_isa: Avx512Bf16, x: &[[[f32; 2]; LANES]], pairs: &mut [[f32; LANES]]) {
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

/// Pairs of the first `n` elements of two rows, for `steps` times two rows `row_stride` apart.
fn across(_isa: Avx512Bf16, x: &[f32], row_stride: usize, steps: usize, n: usize, pairs: &mut [f32], stride: usize) {
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

#[inline(always)]
fn pair(even: f32, odd: f32) -> f32 {
    f32::from_bits(nearest_normal(odd) << 16 | nearest_normal(even))
}
