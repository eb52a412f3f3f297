//! W·x with x in int8.
//!
//! ```text
//! one    rows r and r + 4 to the halves of a register, 16 codes × 16 codes → 4 × i32 a row, twice;
//!        four such registers → one sum a row, × its scale → 8 results
//! many   4 rows × 8 vectors: four codes of W to all lanes × four codes of each vector
//! ```

use std::arch::x86_64::*;

use super::{Tiles, bytes::Dot, kinds::Codes, store, store_lanes, sums};
use crate::{
    matvec::activations::{BLOCK, Int8, LANES, QUAD, SUM},
    quant::QuantMatrix,
};

/// Rows that [`one`] takes at a time.
const TILE: usize = 8;

/// Rows that [`many`] takes at a time.
const ROWS: usize = 4;

/// One vector. `w` is `y.len()` rows of as many columns as there are codes.
///
/// # Safety
/// The processor has AVX2, FMA, F16C and what `D` asks for.
#[inline(always)]
pub(super) unsafe fn one<B: Codes, D: Dot>(w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    let blocks = x.codes.len() / B::LEN;
    for (start, mut rows) in Tiles::<TILE>::new(w) {
        // SAFETY: rows and x are `blocks` blocks.
        unsafe {
            let mut total = _mm256_setzero_ps();
            for block in 0..blocks {
                for group in 0..B::LEN / B::GROUP {
                    let at = block * B::LEN + group * B::GROUP;
                    let mut products = [_mm256_setzero_si256(); TILE / 2];
                    let mut sum = 0;
                    for half in 0..B::GROUP / SUM {
                        let codes = _mm_loadu_si128(x.codes.as_ptr().add(at + half * SUM).cast());
                        let codes = _mm256_broadcastsi128_si256(codes);
                        for (r, product) in products.iter_mut().enumerate() {
                            let unsigned = B::unsigned(rows[r], rows[r + TILE / 2], group, half);
                            *product = D::add(*product, unsigned, codes, B::OFFSET);
                        }
                        sum += *x.sums.get_unchecked(at / SUM + half);
                    }
                    let left_over = _mm256_set1_epi32(D::left_over(B::OFFSET) * sum);
                    let products = _mm256_sub_epi32(sums::of_halves(products), left_over);
                    let x_scale = *x.scales.get_unchecked(at / BLOCK);
                    let scales = _mm256_mul_ps(B::scales(&rows, group), _mm256_set1_ps(x_scale));
                    total = _mm256_add_ps(total, _mm256_mul_ps(scales, _mm256_cvtepi32_ps(products)));
                    if B::HAS_MINIMUM {
                        let sum = _mm256_set1_ps(x_scale * sum as f32);
                        total = _mm256_add_ps(total, _mm256_mul_ps(B::minimums(&rows), sum));
                    }
                }
                for row in &mut rows {
                    *row = row.add(B::BYTES);
                }
            }
            store(total, &mut y[start..]);
        }
    }
}

/// [`LANES`] interleaved vectors, of which `y` has the first few.
///
/// # Safety
/// The processor has AVX2, FMA, F16C and what `D` asks for.
#[inline(always)]
pub(super) unsafe fn many<B: Codes, D: Dot>(w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    let blocks = x.codes.len() / LANES / B::LEN;
    for (start, mut rows) in Tiles::<ROWS>::new(w) {
        // SAFETY: rows and each vector are `blocks` blocks.
        unsafe {
            let mut totals = [_mm256_setzero_ps(); ROWS];
            for block in 0..blocks {
                for group in 0..B::LEN / B::GROUP {
                    let at = block * B::LEN + group * B::GROUP;
                    let mut products = [_mm256_setzero_si256(); ROWS];
                    let mut sum = _mm256_setzero_si256();
                    for half in 0..B::GROUP / SUM {
                        let mut quads = [[0; SUM / QUAD]; ROWS];
                        for (pair, rows) in quads.chunks_exact_mut(2).zip(rows.chunks_exact(2)) {
                            let unsigned = B::unsigned(rows[0], rows[1], group, half);
                            _mm256_storeu_si256(pair.as_mut_ptr().cast(), unsigned);
                        }
                        let codes = x.codes.as_ptr().add((at + half * SUM) * LANES).cast::<__m256i>();
                        for quad in 0..SUM / QUAD {
                            let codes = _mm256_loadu_si256(codes.add(quad));
                            for (product, quads) in products.iter_mut().zip(&quads) {
                                *product = D::add(*product, _mm256_set1_epi32(quads[quad]), codes, B::OFFSET);
                            }
                        }
                        let sums = x.sums.as_ptr().add((at / SUM + half) * LANES);
                        sum = _mm256_add_epi32(sum, _mm256_loadu_si256(sums.cast()));
                    }
                    let left_over = _mm256_mullo_epi32(sum, _mm256_set1_epi32(D::left_over(B::OFFSET)));
                    let x_scales = _mm256_loadu_ps(x.scales.as_ptr().add(at / BLOCK * LANES));
                    let sum = _mm256_mul_ps(x_scales, _mm256_cvtepi32_ps(sum));
                    for ((total, product), &row) in totals.iter_mut().zip(products).zip(&rows) {
                        let scale = _mm256_mul_ps(B::scales(&[row; 8], group), x_scales);
                        let product = _mm256_cvtepi32_ps(_mm256_sub_epi32(product, left_over));
                        *total = _mm256_add_ps(*total, _mm256_mul_ps(scale, product));
                        if B::HAS_MINIMUM {
                            *total = _mm256_add_ps(*total, _mm256_mul_ps(B::minimums(&[row; 8]), sum));
                        }
                    }
                }
                for row in &mut rows {
                    *row = row.add(B::BYTES);
                }
            }
            store_lanes(&totals, &mut y[start..], w.rows());
        }
    }
}
