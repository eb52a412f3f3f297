//! The scales of eight blocks, from the bytes that the blocks begin with.
//!
//! ```text
//! eight blocks → heads: four bytes of each → f16 | power of two | one of four E4M3 → 8 × f32
//! ```

use std::arch::x86_64::*;

/// The first four bytes of eight blocks.
///
/// # Safety
/// - The processor has AVX2.
/// - Each of `blocks` is valid for reads of four bytes.
#[inline(always)]
pub(super) unsafe fn heads(blocks: &[*const u8; 8]) -> __m256i {
    let mut heads = [0; 8];
    // SAFETY: an unaligned i32 is the four bytes of each block.
    unsafe {
        for (head, block) in heads.iter_mut().zip(blocks) {
            *head = block.cast::<i32>().read_unaligned();
        }
        let [a, b, c, d, e, f, g, h] = heads;
        _mm256_setr_epi32(a, b, c, d, e, f, g, h)
    }
}

/// The f16 in the lower half of each lane.
///
/// # Safety
/// - The processor has AVX2 and F16C.
#[inline(always)]
pub(super) unsafe fn halves(lanes: __m256i) -> __m256 {
    // SAFETY: the processor has the instructions by this function's contract; no memory is touched.
    unsafe {
        let lanes = _mm256_and_si256(lanes, _mm256_set1_epi32(0xffff));
        let packed = _mm_packus_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
        _mm256_cvtph_ps(packed)
    }
}

/// The f16 that blocks begin with.
///
/// # Safety
/// - The processor has AVX2 and F16C.
#[inline(always)]
pub(super) unsafe fn f16_scales(heads: __m256i, _group: usize) -> __m256 {
    // SAFETY: the processor has the instructions by this function's contract; no memory is touched.
    unsafe { halves(heads) }
}

/// 2^(e − 128), the two least of which are subnormal.
///
/// # Safety
/// - The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn e8m0_scales(heads: __m256i, _group: usize) -> __m256 {
    // SAFETY: the processor has the instructions by this function's contract; no memory is touched.
    unsafe {
        let e = _mm256_and_si256(heads, _mm256_set1_epi32(0xff));
        let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
        let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), e);
        let is_subnormal = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
        _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, is_subnormal))
    }
}

/// Half an E4M3 without its sign; 0 for 127.
///
/// # Safety
/// - The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn e4m3_scales(heads: __m256i, group: usize) -> __m256 {
    // SAFETY: the processor has the instructions by this function's contract; no memory is touched.
    unsafe {
        let bits = _mm256_srl_epi32(heads, _mm_cvtsi32_si128(8 * group as i32));
        let magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7f));
        let exponent = _mm256_set1_epi32((127 - 7 - 1) << 23);
        let normal = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32::<20>(magnitude), exponent));
        let subnormal = _mm256_mul_ps(_mm256_cvtepi32_ps(magnitude), _mm256_set1_ps(1.0 / 1024.0));
        let is_subnormal = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(8), magnitude));
        let byte = _mm256_and_si256(bits, _mm256_set1_epi32(0xff));
        let is_nan = _mm256_castsi256_ps(_mm256_cmpeq_epi32(byte, _mm256_set1_epi32(0x7f)));
        _mm256_andnot_ps(is_nan, _mm256_blendv_ps(normal, subnormal, is_subnormal))
    }
}
