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

/// Codes of a row that [`many`] decodes at a time, in a loop of their own: they are read four by four, from memory.
const STRIP: usize = 256;

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
    let mut quads = [[0; STRIP / QUAD]; ROWS];
    for (start, rows) in Tiles::<ROWS>::new(w) {
        // SAFETY: rows and each vector are as many blocks.
        unsafe {
            let mut totals = [_mm256_setzero_ps(); ROWS];
            for (strip, x_codes) in x.codes.chunks(STRIP * LANES).enumerate() {
                let (first, blocks) = (strip * STRIP, x_codes.len() / LANES / B::LEN);
                let mut rows = rows;
                for row in &mut rows {
                    *row = row.add(first / B::LEN * B::BYTES);
                }
                for pair in 0..ROWS / 2 {
                    let (mut a, mut b) = (rows[2 * pair], rows[2 * pair + 1]);
                    for at in (0..blocks * B::LEN).step_by(B::LEN) {
                        for half in 0..B::LEN / SUM {
                            let (group, half) = (half * SUM / B::GROUP, half % (B::GROUP / SUM));
                            let codes = B::unsigned(a, b, group, half);
                            let to = at / QUAD + (group * B::GROUP + half * SUM) / QUAD;
                            let (to_a, to_b) =
                                (quads[2 * pair].as_mut_ptr().add(to), quads[2 * pair + 1].as_mut_ptr().add(to));
                            _mm256_storeu2_m128i(to_b.cast(), to_a.cast(), codes);
                        }
                        (a, b) = (a.add(B::BYTES), b.add(B::BYTES));
                    }
                }
                for at in (0..blocks * B::LEN).step_by(B::GROUP) {
                    let group = at % B::LEN / B::GROUP;
                    let mut products = [_mm256_setzero_si256(); ROWS];
                    for quad in at / QUAD..(at + B::GROUP) / QUAD {
                        let codes = _mm256_loadu_si256(x_codes.as_ptr().cast::<__m256i>().add(quad));
                        for (product, quads) in products.iter_mut().zip(&quads) {
                            let w = _mm256_set1_epi32(*quads.get_unchecked(quad));
                            *product = D::add(*product, w, codes, B::OFFSET);
                        }
                    }
                    let sums = x.sums.as_ptr().add((first + at) / SUM * LANES).cast::<__m256i>();
                    let mut sum = _mm256_loadu_si256(sums);
                    if B::GROUP > SUM {
                        sum = _mm256_add_epi32(sum, _mm256_loadu_si256(sums.add(1)));
                    }
                    let left_over = _mm256_mullo_epi32(sum, _mm256_set1_epi32(D::left_over(B::OFFSET)));
                    let x_scales = _mm256_loadu_ps(x.scales.as_ptr().add((first + at) / BLOCK * LANES));
                    let sum = _mm256_mul_ps(x_scales, _mm256_cvtepi32_ps(sum));
                    for ((total, product), row) in totals.iter_mut().zip(products).zip(rows) {
                        let block = row.add(at / B::LEN * B::BYTES);
                        let scale = _mm256_mul_ps(B::scales(&[block; 8], group), x_scales);
                        let product = _mm256_cvtepi32_ps(_mm256_sub_epi32(product, left_over));
                        *total = _mm256_add_ps(*total, _mm256_mul_ps(scale, product));
                        if B::HAS_MINIMUM {
                            *total = _mm256_add_ps(*total, _mm256_mul_ps(B::minimums(&[block; 8]), sum));
                        }
                    }
                }
            }
            store_lanes(&totals, &mut y[start..], w.rows());
        }
    }
}
