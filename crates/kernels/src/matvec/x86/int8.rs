//! W·x with x in int8.
//!
//! ```text
//! one    8 rows: codes × codes → 8 × i32 a row → one sum a row, × its scale → 8 results
//! many   4 rows × 8 vectors: four codes of W to all lanes × four codes of each vector
//! ```

use std::arch::x86_64::*;

use super::{bytes::Dot, kinds::Codes, rows, store, store_lanes, sums};
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
    for (tile, y) in y.chunks_mut(TILE).enumerate() {
        let rows = rows::<TILE>(w, tile * TILE);
        // SAFETY: rows and x are `blocks` blocks.
        unsafe {
            let mut total = _mm256_setzero_ps();
            for block in 0..blocks {
                let mut block_of_rows = rows;
                for row in &mut block_of_rows {
                    *row = row.add(block * B::BYTES);
                }
                for group in 0..B::LEN / B::GROUP {
                    let start = block * B::LEN + group * B::GROUP;
                    let codes = x.codes.as_ptr().add(start);
                    let codes = match B::GROUP {
                        16 => _mm256_zextsi128_si256(_mm_loadu_si128(codes.cast())),
                        _ => _mm256_loadu_si256(codes.cast()),
                    };
                    let mut products = [_mm256_setzero_si256(); TILE];
                    for (product, &block) in products.iter_mut().zip(&block_of_rows) {
                        *product = D::add(*product, B::unsigned(block, group), codes, B::OFFSET);
                    }
                    let mut sum = *x.sums.get_unchecked(start / SUM);
                    if B::GROUP > SUM {
                        sum += *x.sums.get_unchecked(start / SUM + 1);
                    }
                    let left_over = _mm256_set1_epi32(D::left_over(B::OFFSET) * sum);
                    let products = _mm256_sub_epi32(sums::of_integers(products), left_over);
                    let x_scale = *x.scales.get_unchecked(start / BLOCK);
                    let scales = _mm256_mul_ps(B::scales(&block_of_rows, group), _mm256_set1_ps(x_scale));
                    total = _mm256_add_ps(total, _mm256_mul_ps(scales, _mm256_cvtepi32_ps(products)));
                    if B::HAS_MINIMUM {
                        let sum = _mm256_set1_ps(x_scale * sum as f32);
                        total = _mm256_add_ps(total, _mm256_mul_ps(B::minimums(&block_of_rows), sum));
                    }
                }
            }
            store(total, y);
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
    for start_row in (0..w.rows()).step_by(ROWS) {
        let rows = rows::<ROWS>(w, start_row);
        // SAFETY: rows and each vector are `blocks` blocks.
        unsafe {
            let mut totals = [_mm256_setzero_ps(); ROWS];
            for block in 0..blocks {
                let mut block_of_rows = rows;
                for row in &mut block_of_rows {
                    *row = row.add(block * B::BYTES);
                }
                for group in 0..B::LEN / B::GROUP {
                    let start = block * B::LEN + group * B::GROUP;
                    let mut quads = [[0; BLOCK / QUAD]; ROWS];
                    for (quads, &block) in quads.iter_mut().zip(&block_of_rows) {
                        _mm256_storeu_si256(quads.as_mut_ptr().cast(), B::unsigned(block, group));
                    }
                    let mut products = [_mm256_setzero_si256(); ROWS];
                    for quad in 0..B::GROUP / QUAD {
                        let codes = _mm256_loadu_si256(x.codes.as_ptr().add((start + quad * QUAD) * LANES).cast());
                        for (product, quads) in products.iter_mut().zip(&quads) {
                            *product = D::add(*product, _mm256_set1_epi32(quads[quad]), codes, B::OFFSET);
                        }
                    }
                    let mut sum = _mm256_loadu_si256(x.sums.as_ptr().add(start / SUM * LANES).cast());
                    if B::GROUP > SUM {
                        let second = _mm256_loadu_si256(x.sums.as_ptr().add((start / SUM + 1) * LANES).cast());
                        sum = _mm256_add_epi32(sum, second);
                    }
                    let left_over = _mm256_mullo_epi32(sum, _mm256_set1_epi32(D::left_over(B::OFFSET)));
                    let x_scales = _mm256_loadu_ps(x.scales.as_ptr().add(start / BLOCK * LANES));
                    let sum = _mm256_mul_ps(x_scales, _mm256_cvtepi32_ps(sum));
                    for ((total, product), &block) in totals.iter_mut().zip(products).zip(&block_of_rows) {
                        let scale = _mm256_mul_ps(B::scales(&[block; 8], group), x_scales);
                        let product = _mm256_cvtepi32_ps(_mm256_sub_epi32(product, left_over));
                        *total = _mm256_add_ps(*total, _mm256_mul_ps(scale, product));
                        if B::HAS_MINIMUM {
                            *total = _mm256_add_ps(*total, _mm256_mul_ps(B::minimums(&[block; 8]), sum));
                        }
                    }
                }
            }
            store_lanes(&totals, w.rows() - start_row, &mut y[start_row..], w.rows());
        }
    }
}
