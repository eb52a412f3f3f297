//! W·x with x in int8.
//!
//! ```text
//! one    rows r and r + 4 to the halves of a register, 16 codes × 16 codes → 4 × i32 a row, twice;
//!        four such registers → one sum a row, × its scale → 8 results
//! many   4 rows × 8 vectors: four codes of W to all lanes × four codes of each vector
//! ```

use std::arch::x86_64::*;

use super::{RowTiles, bytes::Dot, kinds::Codes, store, store_lanes, sums};
use crate::{
    matvec::{
        LANES,
        activations::{BLOCK, Int8, QUAD, SUM},
    },
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
    for (start, mut rows) in RowTiles::<TILE>::new(w) {
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

/// `N` tiles of [`LANES`] interleaved vectors, of the last of which `y` has the first few.
///
/// # Safety
/// The processor has AVX2, FMA, F16C and what `D` asks for.
#[inline(always)]
pub(super) unsafe fn many<B: Codes, D: Dot, const N: usize>(w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    let cols = x.codes.len() / LANES / N;
    let mut quads = [[0; STRIP / QUAD]; ROWS];
    for (start, rows) in RowTiles::<ROWS>::new(w) {
        // SAFETY: rows and each vector are `cols` elements, whole blocks.
        unsafe {
            let mut totals = [[_mm256_setzero_ps(); ROWS]; N];
            for first in (0..cols).step_by(STRIP) {
                let strip = STRIP.min(cols - first);
                let mut rows = rows;
                for row in &mut rows {
                    *row = row.add(first / B::LEN * B::BYTES);
                }
                for (quads, rows) in quads.chunks_exact_mut(2).zip(rows.chunks_exact(2)) {
                    decode::<B>(rows[0], rows[1], strip, quads);
                }
                for at in (0..strip).step_by(B::GROUP) {
                    let mut products = [[_mm256_setzero_si256(); ROWS]; N];
                    for quad in at / QUAD..(at + B::GROUP) / QUAD {
                        let mut codes = [_mm256_setzero_si256(); N];
                        for (tile, codes) in codes.iter_mut().enumerate() {
                            let quads = x.codes.as_ptr().cast::<__m256i>().add((tile * cols + first) / QUAD);
                            *codes = _mm256_loadu_si256(quads.add(quad));
                        }
                        for (row, quads) in quads.iter().enumerate() {
                            let w = _mm256_set1_epi32(*quads.get_unchecked(quad));
                            for (products, codes) in products.iter_mut().zip(codes) {
                                products[row] = D::add(products[row], w, codes, B::OFFSET);
                            }
                        }
                    }
                    for (tile, (totals, products)) in totals.iter_mut().zip(products).enumerate() {
                        let from = tile * cols + first + at;
                        let sums = x.sums.as_ptr().add(from / SUM * LANES).cast::<__m256i>();
                        let mut sum = _mm256_loadu_si256(sums);
                        if B::GROUP > SUM {
                            sum = _mm256_add_epi32(sum, _mm256_loadu_si256(sums.add(1)));
                        }
                        let left_over = _mm256_mullo_epi32(sum, _mm256_set1_epi32(D::left_over(B::OFFSET)));
                        let x_scales = _mm256_loadu_ps(x.scales.as_ptr().add(from / BLOCK * LANES));
                        let sum = _mm256_mul_ps(x_scales, _mm256_cvtepi32_ps(sum));
                        for ((total, product), row) in totals.iter_mut().zip(products).zip(rows) {
                            let block = row.add(at / B::LEN * B::BYTES);
                            let scales = B::scales(&[block; 8], at % B::LEN / B::GROUP);
                            let scale = _mm256_mul_ps(scales, x_scales);
                            let product = _mm256_cvtepi32_ps(_mm256_sub_epi32(product, left_over));
                            *total = _mm256_add_ps(*total, _mm256_mul_ps(scale, product));
                            if B::HAS_MINIMUM {
                                *total = _mm256_add_ps(*total, _mm256_mul_ps(B::minimums(&[block; 8]), sum));
                            }
                        }
                    }
                }
            }
            for (totals, y) in totals.iter().zip(y.chunks_mut(LANES * w.rows())) {
                store_lanes(totals, &mut y[start..], w.rows());
            }
        }
    }
}

/// The unsigned codes of `len` elements from two rows on.
///
/// # Safety
/// The processor has AVX2, FMA and F16C; the rows are whole blocks of `len` elements, and `quads` are two as long.
#[inline(always)]
unsafe fn decode<B: Codes>(mut a: *const u8, mut b: *const u8, len: usize, quads: &mut [[i32; STRIP / QUAD]]) {
    let [to_a, to_b] = quads else { unreachable!("two rows") };
    for block in (0..len).step_by(B::LEN) {
        for sixteen in 0..B::LEN / SUM {
            let (group, half) = (sixteen * SUM / B::GROUP, sixteen % (B::GROUP / SUM));
            let at = (block + sixteen * SUM) / QUAD;
            // SAFETY: passed on to the caller.
            unsafe {
                let codes = B::unsigned(a, b, group, half);
                _mm256_storeu2_m128i(to_b.as_mut_ptr().add(at).cast(), to_a.as_mut_ptr().add(at).cast(), codes);
            }
        }
        (a, b) = (a.wrapping_add(B::BYTES), b.wrapping_add(B::BYTES));
    }
}
