//! What is in the bytes of each kind, in registers.
//!
//! ```text
//! Numbers   bytes → 8 × f32, …            every kind
//! Codes     a group of a block → 32 codes made unsigned; the scales of eight rows → 8 × f32
//! ```
//!
//! The functions are for code that is compiled for AVX2, FMA and F16C.

use std::arch::x86_64::*;

use crate::quant::{Block, E2M1, Iq4Nl, Mxfp4, NON_LINEAR, Nvfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};

/// A kind of which registers of f32 can be made.
pub(super) trait Numbers {
    /// Elements that are read at a time.
    const STEP: usize;
    /// Their bytes.
    const STEP_BYTES: usize;

    /// Hand `each` the index and the elements of every eight of a step.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and F16C; `bytes` are [`Numbers::STEP_BYTES`].
    unsafe fn read(bytes: *const u8, each: impl FnMut(usize, __m256));
}

/// A kind of block whose codes can be multiplied by codes.
pub(super) trait Codes: Block + Numbers {
    /// What is added to the codes to make them unsigned.
    const OFFSET: i32;

    /// The codes of a group, plus [`Codes::OFFSET`], at most 31 or with an offset of 128. What is past a group of 16
    /// may be anything.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and F16C; `block` is [`Block::BYTES`] long.
    unsafe fn unsigned(block: *const u8, group: usize) -> __m256i;

    /// [`Block::scale`] of one group of eight blocks.
    ///
    /// # Safety
    /// As above.
    unsafe fn scales(blocks: &[*const u8; 8], group: usize) -> __m256;

    /// [`Block::minimum`] of eight blocks.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn minimums(_blocks: &[*const u8; 8]) -> __m256 {
        // SAFETY: passed on to the caller.
        unsafe { _mm256_setzero_ps() }
    }
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;

impl Numbers for F32 {
    const STEP: usize = 8;
    const STEP_BYTES: usize = 32;

    #[inline(always)]
    unsafe fn read(bytes: *const u8, mut each: impl FnMut(usize, __m256)) {
        // SAFETY: passed on to the caller.
        each(0, unsafe { _mm256_loadu_ps(bytes.cast()) });
    }
}

impl Numbers for F16 {
    const STEP: usize = 8;
    const STEP_BYTES: usize = 16;

    #[inline(always)]
    unsafe fn read(bytes: *const u8, mut each: impl FnMut(usize, __m256)) {
        // SAFETY: passed on to the caller.
        each(0, unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.cast())) });
    }
}

impl Numbers for Bf16 {
    const STEP: usize = 8;
    const STEP_BYTES: usize = 16;

    #[inline(always)]
    unsafe fn read(bytes: *const u8, mut each: impl FnMut(usize, __m256)) {
        // SAFETY: passed on to the caller.
        each(0, unsafe {
            let upper = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(upper))
        });
    }
}

impl<B: Codes> Numbers for B {
    const STEP: usize = B::LEN;
    const STEP_BYTES: usize = B::BYTES;

    #[inline(always)]
    unsafe fn read(block: *const u8, mut each: impl FnMut(usize, __m256)) {
        // SAFETY: passed on to the caller.
        unsafe {
            let minimum = B::minimums(&[block; 8]);
            for group in 0..B::LEN / B::GROUP {
                let scale = B::scales(&[block; 8], group);
                let signed = _mm256_sub_epi8(B::unsigned(block, group), _mm256_set1_epi8(B::OFFSET as i8));
                let halves = [_mm256_castsi256_si128(signed), _mm256_extracti128_si256::<1>(signed)];
                for eight in 0..B::GROUP / 8 {
                    let half = halves[eight / 2];
                    let codes = if eight % 2 == 0 { half } else { _mm_unpackhi_epi64(half, half) };
                    let product = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)), scale);
                    each(
                        group * (B::GROUP / 8) + eight,
                        if B::HAS_MINIMUM { _mm256_add_ps(product, minimum) } else { product },
                    );
                }
            }
        }
    }
}

/// Eight f16 that lie `at` bytes into eight blocks.
///
/// # Safety
/// The processor has AVX2 and F16C; the blocks go on for two bytes there.
#[inline(always)]
unsafe fn halves(blocks: &[*const u8; 8], at: usize) -> __m256 {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut halves = [0; 8];
        for (half, block) in halves.iter_mut().zip(blocks) {
            *half = block.add(at).cast::<i16>().read_unaligned();
        }
        let [a, b, c, d, e, f, g, h] = halves;
        _mm256_cvtph_ps(_mm_setr_epi16(a, b, c, d, e, f, g, h))
    }
}

/// Sixteen bytes of nibbles: the low ones, then the high ones.
///
/// # Safety
/// The processor has AVX2; there are sixteen bytes.
#[inline(always)]
unsafe fn nibbles(bytes: *const u8) -> __m256i {
    // SAFETY: passed on to the caller.
    unsafe {
        let low = _mm_loadu_si128(bytes.cast());
        let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), _mm_srli_epi16::<4>(low));
        _mm256_and_si256(both, _mm256_set1_epi8(15))
    }
}

/// [`nibbles`] with the fifth bits that the four bytes before them hold.
///
/// # Safety
/// As there, with four bytes more.
#[inline(always)]
unsafe fn five_bits(bytes: *const u8) -> __m256i {
    // SAFETY: passed on to the caller.
    unsafe {
        // byte j of the register sees byte j / 8 of the bits, and keeps bit j % 8 of it
        let bits = _mm256_set1_epi32(bytes.cast::<i32>().read_unaligned());
        let bytes_of_bits = _mm256_shuffle_epi8(
            bits,
            _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303),
        );
        let bit = _mm256_set1_epi64x(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
        let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes_of_bits, bit), bit);
        _mm256_or_si256(nibbles(bytes.add(4)), _mm256_and_si256(is_set, _mm256_set1_epi8(16)))
    }
}

/// What each of `indices` stands for in `table`, plus `offset`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn look_up(table: [i8; 16], offset: i32, indices: __m256i) -> __m256i {
    // SAFETY: passed on to the caller; the table is sixteen bytes.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
        _mm256_shuffle_epi8(_mm256_add_epi8(table, _mm256_set1_epi8(offset as i8)), indices)
    }
}

/// Implement [`Codes`] for a kind whose scale, and minimum if there is one, are f16 at the start of a block.
macro_rules! codes {
    ($kind:ty, offset $offset:literal, |$block:ident| $codes:expr) => {
        impl Codes for $kind {
            const OFFSET: i32 = $offset;

            #[inline(always)]
            unsafe fn unsigned($block: *const u8, _group: usize) -> __m256i {
                // SAFETY: passed on to the caller.
                unsafe { $codes }
            }

            #[inline(always)]
            unsafe fn scales(blocks: &[*const u8; 8], _group: usize) -> __m256 {
                // SAFETY: passed on to the caller.
                unsafe { halves(blocks, 0) }
            }

            #[inline(always)]
            unsafe fn minimums(blocks: &[*const u8; 8]) -> __m256 {
                // SAFETY: passed on to the caller.
                unsafe { if Self::HAS_MINIMUM { halves(blocks, 2) } else { _mm256_setzero_ps() } }
            }
        }
    };
}

codes!(Q8_0, offset 128, |block| _mm256_xor_si256(_mm256_loadu_si256(block.add(2).cast()), _mm256_set1_epi8(-128)));
codes!(Q4_0, offset 8, |block| nibbles(block.add(2)));
codes!(Q4_1, offset 0, |block| nibbles(block.add(4)));
codes!(Q5_0, offset 16, |block| five_bits(block.add(2)));
codes!(Q5_1, offset 0, |block| five_bits(block.add(4)));
codes!(Iq4Nl, offset 128, |block| look_up(NON_LINEAR, 128, nibbles(block.add(2))));

impl Codes for Mxfp4 {
    const OFFSET: i32 = 12;

    #[inline(always)]
    unsafe fn unsigned(block: *const u8, _group: usize) -> __m256i {
        // SAFETY: passed on to the caller.
        unsafe { look_up(E2M1, Self::OFFSET, nibbles(block.add(1))) }
    }

    #[inline(always)]
    unsafe fn scales(blocks: &[*const u8; 8], group: usize) -> __m256 {
        // SAFETY: passed on to the caller.
        unsafe { one_by_one::<Self>(blocks, group) }
    }
}

impl Codes for Nvfp4 {
    const OFFSET: i32 = 12;

    #[inline(always)]
    unsafe fn unsigned(block: *const u8, group: usize) -> __m256i {
        // SAFETY: passed on to the caller.
        unsafe {
            let bytes = _mm_loadl_epi64(block.add(4 + group * 8).cast());
            let both = _mm_and_si128(_mm_unpacklo_epi64(bytes, _mm_srli_epi16::<4>(bytes)), _mm_set1_epi8(15));
            look_up(E2M1, Self::OFFSET, _mm256_castsi128_si256(both))
        }
    }

    #[inline(always)]
    unsafe fn scales(blocks: &[*const u8; 8], group: usize) -> __m256 {
        // SAFETY: passed on to the caller.
        unsafe { one_by_one::<Self>(blocks, group) }
    }
}

/// [`Codes::scales`] by [`Block::scale`].
///
/// # Safety
/// The processor has AVX2; the blocks are [`Block::BYTES`] long.
#[inline(always)]
unsafe fn one_by_one<B: Block>(blocks: &[*const u8; 8], group: usize) -> __m256 {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut scales = [0.0; 8];
        for (scale, &block) in scales.iter_mut().zip(blocks) {
            *scale = B::scale(std::slice::from_raw_parts(block, B::BYTES), group);
        }
        _mm256_loadu_ps(scales.as_ptr())
    }
}
