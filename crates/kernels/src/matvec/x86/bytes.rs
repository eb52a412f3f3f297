//! Unsigned codes of W times signed codes of x, four neighbours to a lane.

use std::arch::x86_64::*;

use crate::simd::{Avx2, Vnni};

/// How a set multiplies bytes; its token is the permission to.
pub(super) trait ByteProducts: Copy {
    /// Whether any unsigned byte may be multiplied by any signed one, whichever of W and x is which.
    const ANY_BYTES: bool;

    /// `total` + products of `w`, unsigned codes that are `offset` too large, with those of `x`, |x| ≤ 127; with [`Self::ANY_BYTES`]
    /// either may be any byte of its sort.
    fn add(self, total: __m256i, w: __m256i, x: __m256i, offset: i32) -> __m256i;

    /// How many times the sum of `x` is still to be subtracted.
    fn left_over(offset: i32) -> i32;
}

/// Products of bytes added to 32 bits.
impl ByteProducts for Vnni {
    const ANY_BYTES: bool = true;

    #[inline(always)]
    fn add(self, total: __m256i, w: __m256i, x: __m256i, _offset: i32) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX-512 VNNI and VL.
        unsafe { _mm256_dpbusd_epi32(total, w, x) }
    }

    #[inline(always)]
    fn left_over(offset: i32) -> i32 {
        offset
    }
}

/// Pairs of products in 16 bits, which must not overflow, then pairs of pairs.
impl ByteProducts for Avx2 {
    const ANY_BYTES: bool = false;

    #[inline(always)]
    fn add(self, total: __m256i, w: __m256i, x: __m256i, offset: i32) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let pairs = if offset < 128 {
                // codes of at most 31: 2·31·127 fits
                _mm256_maddubs_epi16(w, x)
            } else {
                // |w| · (x with the sign of w): 2·128·127 fits
                let w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
                _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
            };
            _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn left_over(offset: i32) -> i32 {
        if offset < 128 { offset } else { 0 }
    }
}
