//! f32 → int8 with a scale for each block of 32.
//!
//! ```text
//! block → max |x| → scale = max / 127, codes = x · (127 / max) to the nearest, ties to even → Σ codes of each 16
//! ```

use super::{BLOCK, LANES, QUAD, SUM};
use crate::simd::{ROUND, simd};

simd! {
    /// One vector of whole blocks.
    pub(super) fn one<S>(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
        lane::<1>(x, 0, codes, scales);
        // a loop of its own: among the others it keeps the compiler from vectorising them
        for (sum, codes) in sums.iter_mut().zip(codes.chunks_exact(SUM)) {
            *sum = codes.iter().map(|&code| i32::from(code)).sum();
        }
    }
}

simd! {
    /// Up to [`LANES`] vectors of `len` elements, whole blocks, interleaved.
    pub(super) fn tile<S>(x: &[f32], len: usize, codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
        for (index, x) in x.chunks_exact(len).enumerate() {
            lane::<LANES>(x, index, codes, scales);
        }
        for (sums, codes) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(codes.chunks_exact(SUM * LANES)) {
            *sums = [0; LANES];
            for quads in codes.as_chunks::<{ QUAD * LANES }>().0 {
                for (sum, quad) in sums.iter_mut().zip(quads.as_chunks::<QUAD>().0) {
                    *sum += quad.iter().map(|&code| i32::from(code)).sum::<i32>();
                }
            }
        }
    }
}

/// The scales and codes of a vector that is the `index`-th of `N`.
#[inline(always)]
fn lane<const N: usize>(x: &[f32], index: usize, codes: &mut [i8], scales: &mut [f32]) {
    let scales = scales.iter_mut().skip(index).step_by(N);
    for ((x, codes), to) in x.as_chunks::<BLOCK>().0.iter().zip(codes.chunks_exact_mut(BLOCK * N)).zip(scales) {
        let (scale, rounded) = block(x);
        *to = scale;
        for (codes, rounded) in codes.chunks_exact_mut(QUAD * N).zip(rounded.as_chunks::<QUAD>().0) {
            codes[index * QUAD..][..QUAD].copy_from_slice(rounded);
        }
    }
}

/// The scale and the codes of one block.
#[inline(always)]
fn block(x: &[f32; BLOCK]) -> (f32, [i8; BLOCK]) {
    // magnitudes compare as integers do, and NaN is above them all
    let largest = x.iter().fold(0, |largest: i32, x| largest.max((x.to_bits() & 0x7fff_ffff).cast_signed()));
    let largest = f32::from_bits(largest.cast_unsigned());
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut codes = [0; BLOCK];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = (x * inverse + ROUND).to_bits() as i8;
    }
    let scale = largest / 127.0;
    // nothing but NaN comes of ∞, as of NaN
    (if scale.is_finite() { scale } else { f32::NAN }, codes)
}
