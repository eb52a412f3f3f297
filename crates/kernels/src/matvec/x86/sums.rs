//! Registers of partial sums → one register of sums, and other turns of small squares.
//!
//! ```text
//! lanes 0 and 2, 1 and 3 of each half → those two → the halves        ((0+2)+(1+3)) + ((4+6)+(5+7))
//! ```
//!
//! Two registers become one at each step, so that eight sums cost as many instructions as three.

use std::arch::x86_64::*;

/// The sum of each of `x`, in their order.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn of_floats(x: [__m256; 8]) -> __m256 {
    let pair = |a, b| _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let four = |a, b| {
        let (a, b) = (_mm256_castps_pd(a), _mm256_castps_pd(b));
        _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)))
    };
    let [a, b, c, d, e, f, g, h] = x;
    let (low, high) = (four(pair(a, b), pair(c, d)), four(pair(e, f), pair(g, h)));
    _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
}

/// The sum of each of `x`, in their order.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn of_ints(x: [__m256i; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = x;
    let (low, high) = (of_halves([a, b, c, d]), of_halves([e, f, g, h]));
    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high))
}

/// The sums of the first halves of `x`, in their order, then of the second halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn of_halves(x: [__m256i; 4]) -> __m256i {
    let pair = |a, b| _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let [a, b, c, d] = x;
    let (low, high) = (pair(a, b), pair(c, d));
    _mm256_add_epi32(_mm256_unpacklo_epi64(low, high), _mm256_unpackhi_epi64(low, high))
}

/// The sums of eight registers lane by lane, by the same tree.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn of_chains(x: [__m256; 8]) -> __m256 {
    let add = |a, b| _mm256_add_ps(a, b);
    let [a, b, c, d, e, f, g, h] = x;
    add(add(add(a, c), add(b, d)), add(add(e, g), add(f, h)))
}

/// Lanes i and i + 4 of four registers, in their order, to the halves of register i.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn transpose(x: [__m256; 4]) -> [__m256; 4] {
    let [a, b, c, d] = x;
    let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
    [
        _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
        _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
        _mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
        _mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
    ]
}
