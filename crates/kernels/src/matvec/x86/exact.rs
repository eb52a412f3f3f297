//! W·x with x in f32.
//!
//! ```text
//! one    8 rows × 8 chains: element k of a row to lane k mod 8 of its register
//! many   `ROWS` rows × 8 chains × 8 vectors: element k to register k mod 8, a vector to a lane
//! ```

use std::arch::x86_64::*;

use super::{kinds::Numbers, rows, store, store_lanes, sums};
use crate::{
    matvec::{activations::LANES, portable::CHAINS},
    quant::QuantMatrix,
};

/// Rows that [`one`] takes at a time.
const TILE: usize = 8;

/// Elements of a row that [`many`] decodes at a time; every step divides it.
const STRIP: usize = 64;

/// One vector. `w` is `y.len()` rows of `x.len()` elements.
///
/// # Safety
/// The processor has AVX2, FMA and F16C.
#[inline(always)]
pub(super) unsafe fn one<K: Numbers>(w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
    let (steps, left) = (x.len() / K::STEP, x.len() % K::STEP);
    let mut last = [0.0; CHAINS];
    last[..left].copy_from_slice(&x[x.len() - left..]);
    for (tile, y) in y.chunks_mut(TILE).enumerate() {
        let rows = rows::<TILE>(w, tile * TILE);
        // SAFETY: the rows and x are `steps` steps and `left` elements.
        unsafe {
            let mut chains = [_mm256_setzero_ps(); TILE];
            for step in 0..steps {
                let x = x.as_ptr().add(step * K::STEP);
                for (chain, row) in chains.iter_mut().zip(rows) {
                    K::read(row.add(step * K::STEP_BYTES), |eight, w| {
                        *chain = _mm256_fmadd_ps(w, _mm256_loadu_ps(x.add(eight * CHAINS)), *chain);
                    });
                }
            }
            if left > 0 {
                let x = _mm256_loadu_ps(last.as_ptr());
                for (chain, row) in chains.iter_mut().zip(rows) {
                    let w = read_left::<K>(row.add(steps * K::STEP_BYTES), left);
                    *chain = _mm256_fmadd_ps(w, x, *chain);
                }
            }
            store(sums::of_floats(chains), y);
        }
    }
}

/// [`LANES`] interleaved vectors, of which `y` has the first few. `w` has `x.len() / LANES` columns.
///
/// # Safety
/// The processor has AVX2, FMA and F16C.
#[inline(always)]
pub(super) unsafe fn many<K: Numbers, const ROWS: usize>(w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
    for start in (0..w.rows()).step_by(ROWS) {
        let rows = rows::<ROWS>(w, start);
        // SAFETY: the rows are as many elements as x has of each vector.
        unsafe {
            let mut chains = [[_mm256_setzero_ps(); CHAINS]; ROWS];
            for (strip, x) in x.chunks(STRIP * LANES).enumerate() {
                let len = x.len() / LANES;
                let mut numbers = [[0.0; STRIP]; ROWS];
                for (numbers, row) in numbers.iter_mut().zip(rows) {
                    decode::<K>(row.add(strip * (STRIP / K::STEP) * K::STEP_BYTES), &mut numbers[..len]);
                }
                let (eights, left) = x.as_chunks::<{ CHAINS * LANES }>();
                for (eight, x) in eights.iter().enumerate() {
                    for k in 0..CHAINS {
                        let x = _mm256_loadu_ps(x.as_ptr().add(k * LANES));
                        for (chains, numbers) in chains.iter_mut().zip(&numbers) {
                            let w = _mm256_broadcast_ss(numbers.get_unchecked(eight * CHAINS + k));
                            chains[k] = _mm256_fmadd_ps(w, x, chains[k]);
                        }
                    }
                }
                for (k, x) in left.chunks_exact(LANES).enumerate() {
                    let x = _mm256_loadu_ps(x.as_ptr());
                    for (chains, numbers) in chains.iter_mut().zip(&numbers) {
                        let w = _mm256_set1_ps(numbers[eights.len() * CHAINS + k]);
                        chains[k] = _mm256_fmadd_ps(w, x, chains[k]);
                    }
                }
            }
            let mut sums = [_mm256_setzero_ps(); ROWS];
            for (sum, chains) in sums.iter_mut().zip(chains) {
                *sum = sums::of_chains(chains);
            }
            store_lanes(&sums, w.rows() - start, &mut y[start..], w.rows());
        }
    }
}

/// The numbers that `bytes` begin with, as many as asked for.
///
/// # Safety
/// The processor has AVX2, FMA and F16C; `bytes` hold them.
#[inline(always)]
unsafe fn decode<K: Numbers>(bytes: *const u8, numbers: &mut [f32]) {
    let steps = numbers.len() / K::STEP;
    let (whole, left) = numbers.split_at_mut(steps * K::STEP);
    // SAFETY: eight numbers are stored where a step has them.
    unsafe {
        for step in 0..steps {
            let to = whole.as_mut_ptr().add(step * K::STEP);
            K::read(bytes.add(step * K::STEP_BYTES), |eight, w| _mm256_storeu_ps(to.add(eight * CHAINS), w));
        }
        if !left.is_empty() {
            store(read_left::<K>(bytes.add(steps * K::STEP_BYTES), left.len()), left);
        }
    }
}

/// `len` < 8 numbers of a kind whose step is eight, and zeros.
///
/// # Safety
/// The processor has AVX2, FMA and F16C; `bytes` hold them.
#[inline(always)]
unsafe fn read_left<K: Numbers>(bytes: *const u8, len: usize) -> __m256 {
    let mut padded = [0; 32];
    // SAFETY: a part of a step is there, and a step of eight is at most 32 bytes.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes, padded.as_mut_ptr(), len * K::STEP_BYTES / K::STEP);
        let mut numbers = _mm256_setzero_ps();
        K::read(padded.as_ptr(), |_, w| numbers = w);
        numbers
    }
}
