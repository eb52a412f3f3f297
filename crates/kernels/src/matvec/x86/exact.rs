//! W·x with x in f32.
//!
//! ```text
//! one    8 rows × 8 chains: element k of a row to lane k mod 8 of its register
//! many   `ROWS` rows × 8 chains × 8 vectors: element k to register k mod 8, a vector to a lane
//! wide   the same with two tiles of vectors, in registers of 512 bits
//! ```

use std::arch::x86_64::*;

use super::{RowTiles, kinds::Numbers, store, store_lanes, store_wide, sums};
use crate::{
    matvec::{LANES, portable::CHAINS},
    quant::QuantMatrix,
    simd::{Avx2, Vnni},
};

/// Rows that [`one`] takes at a time.
const TILE: usize = 8;

/// Elements of a row that [`many`] decodes at a time, in a loop of their own: they are read one by one, from memory.
const STRIP: usize = 256;

/// Fails unless the rows of `w` are whole steps of K, and as many elements as each of `vectors` vectors in `x`: what all
/// kernels here ask for. It is called outside of them, where it does not change what the compiler makes of their loops.
#[inline(always)]
pub(super) fn assert_operands<K: Numbers>(w: QuantMatrix<'_>, x: &[f32], vectors: usize) {
    assert!(w.cols().is_multiple_of(K::STEP) && x.len() == w.cols() * vectors, "operands of whole steps");
    assert_eq!(w.row_bytes(), w.cols() / K::STEP * K::STEP_BYTES, "rows of the kind");
}

/// One vector.
///
/// # Safety
/// - [`assert_operands`] has passed for K and one vector.
#[inline(always)]
pub(super) unsafe fn one<K: Numbers>(_isa: Avx2, w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
    for (start, rows) in RowTiles::<TILE>::new(w) {
        // SAFETY: `_isa` proves AVX2, FMA and F16C. Each of `rows` is a row of W, which is as many whole steps as x by
        // `assert_operands`, and the loop stops at the last one; CHAINS floats at each eighth of a step lie within the step.
        unsafe {
            let mut chains = [_mm256_setzero_ps(); TILE];
            for step in 0..x.len() / K::STEP {
                let x = x.as_ptr().add(step * K::STEP);
                for (chain, row) in chains.iter_mut().zip(rows) {
                    K::read(row.add(step * K::STEP_BYTES), |eight, w| {
                        *chain = _mm256_fmadd_ps(w, _mm256_loadu_ps(x.add(eight * CHAINS)), *chain);
                    });
                }
            }
            store(sums::of_floats(chains), &mut y[start..]);
        }
    }
}

/// [`LANES`] interleaved vectors, of which `y` has the first few.
///
/// # Safety
/// - [`assert_operands`] has passed for K and LANES vectors.
#[inline(always)]
pub(super) unsafe fn many<K: Numbers, const ROWS: usize>(
    _isa: impl Into<Avx2>,
    w: QuantMatrix<'_>,
    x: &[f32],
    y: &mut [f32],
) {
    let mut numbers = [[0.0; STRIP]; ROWS];
    for (start, mut rows) in RowTiles::<ROWS>::new(w) {
        // SAFETY: `_isa` proves AVX2, FMA and F16C. Each of `rows` is a row of W, as many whole steps as x has of each
        // vector by `assert_operands`, so that `decode` stays in it; `at + k` < `len`, which is the floats of a strip and of
        // each vector in this part of x, since a step is whole eights.
        unsafe {
            let mut chains = [[_mm256_setzero_ps(); CHAINS]; ROWS];
            for x in x.chunks(STRIP * LANES) {
                let len = x.len() / LANES;
                for (numbers, row) in numbers.iter_mut().zip(&mut rows) {
                    *row = decode::<K>(*row, &mut numbers[..len]);
                }
                for at in (0..len).step_by(CHAINS) {
                    for k in 0..CHAINS {
                        let x = _mm256_loadu_ps(x.as_ptr().add((at + k) * LANES));
                        for (chains, numbers) in chains.iter_mut().zip(&numbers) {
                            let w = _mm256_broadcast_ss(numbers.get_unchecked(at + k));
                            chains[k] = _mm256_fmadd_ps(w, x, chains[k]);
                        }
                    }
                }
            }
            let mut sums = [_mm256_setzero_ps(); ROWS];
            for (sum, chains) in sums.iter_mut().zip(chains) {
                *sum = sums::of_chains(chains);
            }
            store_lanes(&sums, &mut y[start..], w.rows());
        }
    }
}

/// [`many`] for two tiles.
///
/// # Safety
/// - [`assert_operands`] has passed for K and 2·LANES vectors.
#[inline(always)]
pub(super) unsafe fn wide<K: Numbers, const ROWS: usize>(_isa: Vnni, w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
    let (first, second) = x.split_at(x.len() / 2);
    let mut numbers = [[0.0; STRIP]; ROWS];
    for (start, mut rows) in RowTiles::<ROWS>::new(w) {
        // SAFETY: `_isa` proves AVX-512, and with it AVX2, FMA and F16C; the rest as in `many`, for `first` and `second`,
        // which are of one length.
        unsafe {
            let mut chains = [[_mm512_setzero_ps(); CHAINS]; ROWS];
            for (first, second) in first.chunks(STRIP * LANES).zip(second.chunks(STRIP * LANES)) {
                let len = first.len() / LANES;
                for (numbers, row) in numbers.iter_mut().zip(&mut rows) {
                    *row = decode::<K>(*row, &mut numbers[..len]);
                }
                for at in (0..len).step_by(CHAINS) {
                    for k in 0..CHAINS {
                        let first = _mm512_castps256_ps512(_mm256_loadu_ps(first.as_ptr().add((at + k) * LANES)));
                        let second = _mm256_loadu_ps(second.as_ptr().add((at + k) * LANES));
                        let x = _mm512_insertf32x8::<1>(first, second);
                        for (chains, numbers) in chains.iter_mut().zip(&numbers) {
                            let w = _mm512_set1_ps(*numbers.get_unchecked(at + k));
                            chains[k] = _mm512_fmadd_ps(w, x, chains[k]);
                        }
                    }
                }
            }
            let mut sums = [_mm512_setzero_ps(); ROWS];
            for (sum, [a, b, c, d, e, f, g, h]) in sums.iter_mut().zip(chains) {
                let (even, odd) = (_mm512_add_ps(a, c), _mm512_add_ps(b, d));
                let (later_even, later_odd) = (_mm512_add_ps(e, g), _mm512_add_ps(f, h));
                *sum = _mm512_add_ps(_mm512_add_ps(even, odd), _mm512_add_ps(later_even, later_odd));
            }
            store_wide(&sums, y, start, w.rows());
        }
    }
}

/// The numbers that `bytes` begin with, whole steps of them, and what is after them.
///
/// # Safety
/// - The processor has AVX2, FMA and F16C.
/// - `bytes` is valid for reads of `numbers.len() / STEP` steps of K.
#[inline(always)]
unsafe fn decode<K: Numbers>(mut bytes: *const u8, numbers: &mut [f32]) -> *const u8 {
    for numbers in numbers.chunks_exact_mut(K::STEP) {
        // SAFETY: this is one of the steps that `bytes` holds by this function's contract, and `numbers` has room for the
        // eights of a step.
        unsafe {
            K::read(bytes, |eight, w| _mm256_storeu_ps(numbers.as_mut_ptr().add(eight * CHAINS), w));
            bytes = bytes.add(K::STEP_BYTES);
        }
    }
    bytes
}
