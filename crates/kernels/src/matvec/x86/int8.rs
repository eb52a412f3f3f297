//! W·x with x in int8.
//!
//! ```text
//! one    8 rows: codes × codes of a group → a sum a row, × its scale, from a table if there is one → 8 results
//! many   4 rows × 8 vectors: four codes of W to all lanes × four codes of each vector
//! wide   the same with pairs of tiles of vectors, in registers of 512 bits
//! ```

use std::{arch::x86_64::*, ptr};

use super::{RowTiles, bytes::ByteProducts, kinds::Codes, store, store_lanes, store_wide};
use crate::{
    matvec::{BLOCK, LANES, QUAD, SUM, activations::Int8},
    quant::{QuantMatrix, Scales},
    simd::Vnni,
};

/// Rows that [`one`] takes at a time: eight results of a register.
const TILE: usize = Scales::ROWS;

/// Rows that [`many`] takes at a time.
const ROWS: usize = 4;

/// Codes of a row that [`many`] decodes at a time, in a loop of their own: they are read four by four, from memory.
const STRIP: usize = 256;

/// Fails unless the rows of `w` are whole blocks of B, and as many elements as each of `vectors` vectors in `x`, whose
/// scales and sums are complete: what all kernels here ask for. It is called outside of them, where it does not change
/// what the compiler makes of their loops.
#[inline(always)]
pub(super) fn assert_operands<B: Codes>(w: QuantMatrix<'_>, x: Int8<'_>, vectors: usize) {
    let elements = w.cols() * vectors;
    assert!(w.cols().is_multiple_of(B::LEN) && x.codes.len() == elements, "operands of whole blocks");
    assert_eq!([x.scales.len(), x.sums.len()], [elements / BLOCK, elements / SUM], "scales and sums");
    assert_eq!(w.row_bytes(), w.cols() / B::LEN * B::BYTES, "rows of the kind");
}

/// One vector.
///
/// # Safety
/// - [`assert_operands`] has passed for B and one vector.
#[inline(always)]
pub(super) unsafe fn one<B: Codes, P: ByteProducts>(isa: P, w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    for (start, rows) in RowTiles::<TILE>::new(w) {
        let at_hand = w.scales_at_hand().and_then(|scales| scales.of_rows(start, w.cols() / B::GROUP));
        // SAFETY: `isa` proves AVX2, FMA and F16C. Each of `rows` begins a row of whole blocks, as many elements as x has, by this
        // function's contract; what is at hand is of all its groups.
        unsafe {
            let total = match at_hand {
                Some((scales, sums)) => tile::<B, P, true>(isa, rows, scales.as_ptr(), sums.as_ptr(), x),
                None => tile::<B, P, false>(isa, rows, ptr::null(), ptr::null(), x),
            };
            store(total, &mut y[start..]);
        }
    }
}

/// Eight rows times one vector.
///
/// # Safety
/// - The processor has AVX2, FMA and F16C.
/// - Each of `rows` is valid for reads of as many elements as x has, whole blocks of B; scales and sums of x are complete.
/// - If `AT_HAND`, `scales` is valid for reads of eight numbers for each group of x; if codes of B are bytes, so is `sums`.
#[inline(always)]
unsafe fn tile<B: Codes, P: ByteProducts, const AT_HAND: bool>(
    isa: P,
    mut rows: [*const u8; TILE],
    scales: *const f32,
    sums: *const i16,
    x: Int8<'_>,
) -> __m256 {
    // SAFETY: each of `rows` moves on by a block a turn, so that it is at a block in every turn. `at` is the first code of a group,
    // `at / SUM` and `at / BLOCK` are its sums and its scale, `eight` is the first of what is at hand of it.
    unsafe {
        let mut total = _mm256_setzero_ps();
        for block in 0..x.codes.len() / B::LEN {
            for group in 0..B::LEN / B::GROUP {
                let at = block * B::LEN + group * B::GROUP;
                let eight = at / B::GROUP * TILE;
                let mut sum = *x.sums.get_unchecked(at / SUM);
                if B::GROUP > SUM {
                    sum += *x.sums.get_unchecked(at / SUM + 1);
                }
                let codes = x.codes.as_ptr().add(at);
                let of_x = AT_HAND && B::ARE_BYTES && P::ANY_BYTES;
                let left_over = if of_x {
                    _mm256_slli_epi32::<7>(_mm256_cvtepi16_epi32(_mm_loadu_si128(sums.add(eight).cast())))
                } else {
                    _mm256_set1_epi32(P::left_over(B::OFFSET) * sum)
                };
                let products = _mm256_sub_epi32(B::dots(isa, &rows, group, codes, of_x), left_over);
                let w_scales = if AT_HAND { _mm256_loadu_ps(scales.add(eight)) } else { B::scales(&rows, group) };
                let x_scale = *x.scales.get_unchecked(at / BLOCK);
                let scales = _mm256_mul_ps(w_scales, _mm256_set1_ps(x_scale));
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
        total
    }
}

/// [`LANES`] interleaved vectors, of which `y` has the first few.
///
/// # Safety
/// - [`assert_operands`] has passed for B and LANES vectors.
#[inline(always)]
pub(super) unsafe fn many<B: Codes, P: ByteProducts>(isa: P, w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    let cols = x.codes.len() / LANES;
    let mut quads = [[0; STRIP / QUAD]; ROWS];
    for (start, rows) in RowTiles::<ROWS>::new(w) {
        // SAFETY: `isa` proves AVX2, FMA and F16C. Rows and vectors are `cols` elements, whole blocks, by `assert_operands`:
        // `first + at` is the first element of a group in all of them, `quad` one of the quads of the strip, and x has
        // LANES quads, scales and sums for each of a vector.
        unsafe {
            let mut totals = [_mm256_setzero_ps(); ROWS];
            for first in (0..cols).step_by(STRIP) {
                let (strip, rows) = decode::<B>(rows, first, cols, &mut quads);
                for at in (0..strip).step_by(B::GROUP) {
                    let mut products = [_mm256_setzero_si256(); ROWS];
                    for quad in at / QUAD..(at + B::GROUP) / QUAD {
                        let codes = x.codes.as_ptr().cast::<__m256i>().add(first / QUAD + quad);
                        let codes = _mm256_loadu_si256(codes);
                        for (product, quads) in products.iter_mut().zip(&quads) {
                            let w = _mm256_set1_epi32(*quads.get_unchecked(quad));
                            *product = isa.add(*product, w, codes, B::OFFSET);
                        }
                    }
                    let sums = x.sums.as_ptr().add((first + at) / SUM * LANES).cast::<__m256i>();
                    let mut sum = _mm256_loadu_si256(sums);
                    if B::GROUP > SUM {
                        sum = _mm256_add_epi32(sum, _mm256_loadu_si256(sums.add(1)));
                    }
                    let left_over = _mm256_mullo_epi32(sum, _mm256_set1_epi32(P::left_over(B::OFFSET)));
                    let x_scales = _mm256_loadu_ps(x.scales.as_ptr().add((first + at) / BLOCK * LANES));
                    let sum = _mm256_mul_ps(x_scales, _mm256_cvtepi32_ps(sum));
                    for ((total, product), row) in totals.iter_mut().zip(products).zip(rows) {
                        let block = row.add(at / B::LEN * B::BYTES);
                        let scale = _mm256_mul_ps(B::scales(&[block; 8], at % B::LEN / B::GROUP), x_scales);
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

/// [`many`] for `N` pairs of tiles.
///
/// # Safety
/// - [`assert_operands`] has passed for B and 2·LANES·N vectors.
#[inline(always)]
pub(super) unsafe fn wide<B: Codes, const N: usize>(_isa: Vnni, w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    let cols = x.codes.len() / (2 * LANES * N);
    let mut quads = [[0; STRIP / QUAD]; ROWS];
    for (start, rows) in RowTiles::<ROWS>::new(w) {
        // SAFETY: `_isa` proves AVX-512 with VNNI, and with it AVX2, FMA and F16C. Bounds as in `many`, of a tile of each
        // pair; the tile after it begins as many numbers later as a tile has, which `two_tiles` is told.
        unsafe {
            let mut totals = [[_mm512_setzero_ps(); ROWS]; N];
            for first in (0..cols).step_by(STRIP) {
                let (strip, rows) = decode::<B>(rows, first, cols, &mut quads);
                for at in (0..strip).step_by(B::GROUP) {
                    let mut products = [[_mm512_setzero_si512(); ROWS]; N];
                    for quad in at / QUAD..(at + B::GROUP) / QUAD {
                        let mut codes = [_mm512_setzero_si512(); N];
                        for (pair, codes) in codes.iter_mut().enumerate() {
                            let tile = x.codes.as_ptr().add(2 * pair * cols * LANES + (first + quad * QUAD) * LANES);
                            *codes = two_tiles(tile.cast(), cols * LANES / size_of::<i32>());
                        }
                        for (row, quads) in quads.iter().enumerate() {
                            let w = _mm512_set1_epi32(*quads.get_unchecked(quad));
                            for (products, codes) in products.iter_mut().zip(codes) {
                                products[row] = _mm512_dpbusd_epi32(products[row], w, codes);
                            }
                        }
                    }
                    let mut scales = [_mm512_setzero_ps(); ROWS];
                    let mut minimums = [_mm512_setzero_ps(); ROWS];
                    for ((scale, minimum), row) in scales.iter_mut().zip(&mut minimums).zip(rows) {
                        let block = row.add(at / B::LEN * B::BYTES);
                        *scale = first_to_all(B::scales(&[block; 8], at % B::LEN / B::GROUP));
                        if B::HAS_MINIMUM {
                            *minimum = first_to_all(B::minimums(&[block; 8]));
                        }
                    }
                    for (pair, (totals, products)) in totals.iter_mut().zip(products).enumerate() {
                        let from = 2 * pair * cols + first + at;
                        let (sums, per_tile) = (x.sums.as_ptr().add(from / SUM * LANES), cols / SUM * LANES);
                        let mut sum = two_tiles(sums, per_tile);
                        if B::GROUP > SUM {
                            sum = _mm512_add_epi32(sum, two_tiles(sums.add(LANES), per_tile));
                        }
                        let left_over = _mm512_mullo_epi32(sum, _mm512_set1_epi32(Vnni::left_over(B::OFFSET)));
                        let x_scales = x.scales.as_ptr().add(from / BLOCK * LANES);
                        let x_scales = _mm512_castsi512_ps(two_tiles(x_scales.cast(), cols / BLOCK * LANES));
                        let sum = _mm512_mul_ps(x_scales, _mm512_cvtepi32_ps(sum));
                        for (row, (total, product)) in totals.iter_mut().zip(products).enumerate() {
                            let product = _mm512_cvtepi32_ps(_mm512_sub_epi32(product, left_over));
                            let product = _mm512_mul_ps(_mm512_mul_ps(scales[row], x_scales), product);
                            *total = _mm512_add_ps(*total, product);
                            if B::HAS_MINIMUM {
                                *total = _mm512_add_ps(*total, _mm512_mul_ps(minimums[row], sum));
                            }
                        }
                    }
                }
            }
            for (totals, y) in totals.iter().zip(y.chunks_mut(2 * LANES * w.rows())) {
                store_wide(totals, y, start, w.rows());
            }
        }
    }
}

/// Eight numbers of a tile, and the same of the next one, which begins `tile_len` numbers later.
///
/// # Safety
/// - The processor has AVX-512 F and DQ.
/// - `tile` is valid for reads of `tile_len` + 8 numbers.
#[inline(always)]
unsafe fn two_tiles(tile: *const i32, tile_len: usize) -> __m512i {
    // SAFETY: the instructions and numbers 0..8 and tile_len..tile_len + 8 are there by this function's contract.
    unsafe {
        let first = _mm512_castsi256_si512(_mm256_loadu_si256(tile.cast()));
        _mm512_inserti64x4::<1>(first, _mm256_loadu_si256(tile.add(tile_len).cast()))
    }
}

/// The first number in all lanes.
///
/// # Safety
/// - The processor has AVX-512 F.
#[inline(always)]
unsafe fn first_to_all(x: __m256) -> __m512 {
    // SAFETY: the processor has the instruction by this function's contract.
    unsafe { _mm512_broadcastss_ps(_mm256_castps256_ps128(x)) }
}

/// The unsigned codes of up to a strip of `rows` from element `first` of `cols`: how many, and where the blocks begin.
///
/// # Safety
/// - The processor has AVX2, FMA and F16C.
/// - Each of `rows` is valid for reads of `cols` elements, whole blocks of B, and `first` is one that begins a block.
#[inline(always)]
unsafe fn decode<B: Codes>(
    mut rows: [*const u8; ROWS],
    first: usize,
    cols: usize,
    quads: &mut [[i32; STRIP / QUAD]; ROWS],
) -> (usize, [*const u8; ROWS]) {
    let strip = STRIP.min(cols - first);
    debug_assert!(first < cols && first.is_multiple_of(B::LEN) && strip.is_multiple_of(B::LEN));
    // SAFETY: `strip` elements from `first` are within the `cols` of each row; a strip of quads has room for STRIP.
    unsafe {
        for row in &mut rows {
            *row = row.add(first / B::LEN * B::BYTES);
        }
        for (quads, rows) in quads.chunks_exact_mut(2).zip(rows.chunks_exact(2)) {
            decode_two::<B>(rows[0], rows[1], strip, quads);
        }
    }
    (strip, rows)
}

/// The unsigned codes of `len` elements from two rows on.
///
/// # Safety
/// - The processor has AVX2, FMA and F16C.
/// - `a` and `b` are valid for reads of `len` ≤ STRIP elements, whole blocks of B.
#[inline(always)]
unsafe fn decode_two<B: Codes>(mut a: *const u8, mut b: *const u8, len: usize, quads: &mut [[i32; STRIP / QUAD]]) {
    let [to_a, to_b] = quads else { unreachable!("two rows") };
    for block in (0..len).step_by(B::LEN) {
        for sixteen in 0..B::LEN / SUM {
            let (group, half) = (sixteen * SUM / B::GROUP, sixteen % (B::GROUP / SUM));
            let at = (block + sixteen * SUM) / QUAD;
            // SAFETY: `a` and `b` are at a block, which begins at `block` < `len`; `at` and the three quads after it are
            // within the quads of STRIP elements.
            unsafe {
                let codes = B::unsigned(a, b, group, half);
                _mm256_storeu2_m128i(to_b.as_mut_ptr().add(at).cast(), to_a.as_mut_ptr().add(at).cast(), codes);
            }
        }
        (a, b) = (a.wrapping_add(B::BYTES), b.wrapping_add(B::BYTES));
    }
}
