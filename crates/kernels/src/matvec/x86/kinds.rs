//! What is in the bytes of each kind, in registers.
//!
//! ```text
//! Numbers   bytes → 8 × f32, …            every kind
//! Codes     a group of a block → 32 codes made unsigned; the scales of eight rows → 8 × f32
//! ```
//!
//! All functions are inlined into code that is compiled for AVX2, FMA and F16C; each says which bytes it reads.

use std::arch::x86_64::*;

use super::{
    bytes::ByteProducts,
    scales::{e4m3_scales, e8m0_scales, f16_scales, halves, heads},
    sums,
};
use crate::matvec::SUM;
use crate::quant::{Block, E2M1, Iq4Nl, Mxfp4, NON_LINEAR, Nvfp4, Q2_0, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};

/// A kind of which registers of f32 can be made.
pub(super) trait Numbers {
    /// Elements that are read at a time: two registers at least, since loads from rows that are whole cache lines apart
    /// would all go to one bank of the first cache if none were from another part of a line.
    const STEP: usize;
    /// Their bytes.
    const STEP_BYTES: usize;

    /// Hand `each` the index and the elements of every eight of a step.
    ///
    /// # Safety
    /// - The processor has AVX2, FMA and F16C.
    /// - `bytes` is valid for reads of [`Numbers::STEP_BYTES`].
    unsafe fn read(bytes: *const u8, each: impl FnMut(usize, __m256));
}

/// A kind of block whose codes can be multiplied by codes.
pub(super) trait Codes: Block + Numbers {
    /// What is added to the codes to make them unsigned.
    const OFFSET: i32;

    /// The first or second sixteen codes of a group of two blocks, plus [`Codes::OFFSET`]: at most 31, unless that
    /// is 128.
    ///
    /// # Safety
    /// - The processor has AVX2, FMA and F16C.
    /// - `a` and `b` are valid for reads of [`Block::BYTES`]; `group` < LEN / GROUP and `half` < GROUP / 16.
    unsafe fn unsigned(a: *const u8, b: *const u8, group: usize, half: usize) -> __m256i;

    /// The codes of one group of eight blocks times those at `x`, plus [`Codes::OFFSET`] times these: a sum for each
    /// block, less what [`ByteProducts::left_over`] says. `of_x`, which is for [`Block::ARE_BYTES`] and [`ByteProducts::ANY_BYTES`]:
    /// codes as they are, times those at `x` plus 128.
    ///
    /// # Safety
    /// - The processor has AVX2, FMA and F16C.
    /// - Each of `blocks` is valid for reads of [`Block::BYTES`], `x` of [`Block::GROUP`]; `group` < LEN / GROUP.
    #[inline(always)]
    unsafe fn dots<P: ByteProducts>(
        isa: P,
        blocks: &[*const u8; 8],
        group: usize,
        x: *const i8,
        of_x: bool,
    ) -> __m256i {
        debug_assert!(!of_x, "codes of less than a byte are made unsigned");
        // SAFETY: sixteen codes of x at half · 16 are within a group; blocks and group are those of this contract.
        unsafe {
            let mut products = [_mm256_setzero_si256(); 4];
            for half in 0..Self::GROUP / SUM {
                let x = _mm256_broadcastsi128_si256(_mm_loadu_si128(x.add(half * SUM).cast()));
                for (i, product) in products.iter_mut().enumerate() {
                    let codes = Self::unsigned(blocks[i], blocks[i + 4], group, half);
                    *product = isa.add(*product, codes, x, Self::OFFSET);
                }
            }
            sums::of_halves(products)
        }
    }

    /// [`Block::scale`] of one group of eight blocks.
    ///
    /// # Safety
    /// - The processor has AVX2, FMA and F16C.
    /// - Each of `blocks` is valid for reads of [`Block::BYTES`].
    unsafe fn scales(blocks: &[*const u8; 8], group: usize) -> __m256;

    /// [`Block::minimum`] of eight blocks, the f16 after the scale.
    ///
    /// # Safety
    /// - The processor has AVX2, FMA and F16C.
    /// - Each of `blocks` is valid for reads of [`Block::BYTES`].
    #[inline(always)]
    unsafe fn minimums(blocks: &[*const u8; 8]) -> __m256 {
        // SAFETY: every kind of block is longer than the four bytes of a head.
        unsafe { halves(_mm256_srli_epi32::<16>(heads(blocks))) }
    }
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;
pub(super) struct F8E4M3;

impl Numbers for F32 {
    const STEP: usize = 16;
    const STEP_BYTES: usize = 64;

    #[inline(always)]
    unsafe fn read(bytes: *const u8, mut each: impl FnMut(usize, __m256)) {
        for eight in 0..2 {
            // SAFETY: 32 bytes at 0 and at 32 are the 64 of a step.
            each(eight, unsafe { _mm256_loadu_ps(bytes.add(32 * eight).cast()) });
        }
    }
}

impl Numbers for F16 {
    const STEP: usize = 16;
    const STEP_BYTES: usize = 32;

    #[inline(always)]
    unsafe fn read(bytes: *const u8, mut each: impl FnMut(usize, __m256)) {
        for eight in 0..2 {
            // SAFETY: 16 bytes at 0 and at 16 are the 32 of a step.
            each(eight, unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.add(16 * eight).cast())) });
        }
    }
}

impl Numbers for Bf16 {
    const STEP: usize = 16;
    const STEP_BYTES: usize = 32;

    #[inline(always)]
    unsafe fn read(bytes: *const u8, mut each: impl FnMut(usize, __m256)) {
        for eight in 0..2 {
            // SAFETY: 16 bytes at 0 and at 16 are the 32 of a step.
            each(eight, unsafe {
                let upper = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.add(16 * eight).cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(upper))
            });
        }
    }
}

impl Numbers for F8E4M3 {
    const STEP: usize = 16;
    const STEP_BYTES: usize = 16;

    /// By way of f16, whose exponent is biased by 8 more: subnormal numbers cost nothing there.
    #[inline(always)]
    unsafe fn read(bytes: *const u8, mut each: impl FnMut(usize, __m256)) {
        // SAFETY: 16 bytes are a step.
        unsafe {
            let codes = _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes.cast()));
            let magnitudes = _mm256_and_si256(codes, _mm256_set1_epi16(0x7f));
            let is_nan = _mm256_cmpeq_epi16(magnitudes, _mm256_set1_epi16(0x7f));
            let signs = _mm256_slli_epi16::<8>(_mm256_xor_si256(codes, magnitudes));
            let halves = _mm256_or_si256(_mm256_slli_epi16::<7>(magnitudes), signs);
            let halves = _mm256_or_si256(halves, _mm256_and_si256(is_nan, _mm256_set1_epi16(0x7c00)));
            for (eight, halves) in
                [_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves)].into_iter().enumerate()
            {
                each(eight, _mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_set1_ps(256.0)));
            }
        }
    }
}

impl<B: Codes> Numbers for B {
    const STEP: usize = B::LEN;
    const STEP_BYTES: usize = B::BYTES;

    #[inline(always)]
    unsafe fn read(block: *const u8, mut each: impl FnMut(usize, __m256)) {
        const SIXTEEN: usize = 16;
        // SAFETY: a step is a block; the loops go through its groups and their sixteens.
        unsafe {
            let minimum = B::minimums(&[block; 8]);
            for group in 0..B::LEN / B::GROUP {
                let scale = B::scales(&[block; 8], group);
                for half in 0..B::GROUP / SIXTEEN {
                    let unsigned = _mm256_castsi256_si128(B::unsigned(block, block, group, half));
                    let codes = _mm_sub_epi8(unsigned, _mm_set1_epi8(B::OFFSET as i8));
                    let at = (group * B::GROUP + half * SIXTEEN) / 8;
                    for (i, codes) in [codes, _mm_unpackhi_epi64(codes, codes)].into_iter().enumerate() {
                        let product = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)), scale);
                        each(at + i, if B::HAS_MINIMUM { _mm256_add_ps(product, minimum) } else { product });
                    }
                }
            }
        }
    }
}

/// Sixteen bytes from each of two places.
///
/// # Safety
/// - The processor has AVX2.
/// - `a` and `b` are valid for reads of 16 bytes.
#[inline(always)]
unsafe fn sixteen(a: *const u8, b: *const u8) -> __m256i {
    // SAFETY: the instruction reads 16 bytes at each.
    unsafe { _mm256_loadu2_m128i(b.cast(), a.cast()) }
}

/// The low or the high nibbles of sixteen bytes from each of two places.
///
/// # Safety
/// - The processor has AVX2.
/// - `a` and `b` are valid for reads of 16 bytes.
#[inline(always)]
unsafe fn nibbles(a: *const u8, b: *const u8, half: usize) -> __m256i {
    // SAFETY: 16 bytes are read at each.
    unsafe {
        let both = sixteen(a, b);
        let these = if half == 0 { both } else { _mm256_srli_epi16::<4>(both) };
        _mm256_and_si256(these, _mm256_set1_epi8(15))
    }
}

/// [`nibbles`] with the fifth bits that the four bytes before them hold.
///
/// # Safety
/// - The processor has AVX2.
/// - `a` and `b` are valid for reads of 20 bytes, and `half` < 2.
#[inline(always)]
unsafe fn five_bits(a: *const u8, b: *const u8, half: usize) -> __m256i {
    // SAFETY: two bytes at 2 · half are within the first four, and 16 bytes are read after these.
    unsafe {
        let bits = |bytes: *const u8| _mm_set1_epi16(bytes.cast::<i16>().add(half).read_unaligned());
        let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(bits(a)), bits(b));
        // the first eight codes see the first byte of the bits, and code j keeps bit j % 8 of it
        let first_and_second = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0101_0101_0101_0101, 0));
        let bit = _mm256_set1_epi64x(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
        let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(both, first_and_second), bit), bit);
        let fifth = _mm256_and_si256(is_set, _mm256_set1_epi8(16));
        _mm256_or_si256(nibbles(a.add(4), b.add(4), half), fifth)
    }
}

/// The `index`-th sixteen pairs of bits at each of two places.
///
/// # Safety
/// - The processor has AVX2.
/// - `a` and `b` are valid for reads of 16 bytes, and `index` < 4.
#[inline(always)]
unsafe fn crumbs(a: *const u8, b: *const u8, index: usize) -> __m256i {
    // SAFETY: four bytes at 4 · index are within the 16.
    unsafe {
        let four = |bytes: *const u8| _mm_set1_epi32(bytes.cast::<i32>().add(index).read_unaligned());
        let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(four(a)), four(b));
        let each_four_times = _mm_set_epi32(0x0303_0303, 0x0202_0202, 0x0101_0101, 0);
        let spread = _mm256_shuffle_epi8(both, _mm256_broadcastsi128_si256(each_four_times));
        // of four copies of a byte, copy i keeps bits 2i and 2i + 1: the even copies as 0..4 in either half of a byte,
        // the odd ones as four times that
        let kept = _mm256_and_si256(spread, _mm256_set1_epi32(0xc030_0c03_u32.cast_signed()));
        let low = _mm256_and_si256(_mm256_or_si256(kept, _mm256_srli_epi16::<4>(kept)), _mm256_set1_epi8(15));
        look_up([0, 1, 2, 3, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], 0, low)
    }
}

/// What each of `indices` stands for in `table`, plus `offset`.
///
/// # Safety
/// - The processor has AVX2.
#[inline(always)]
unsafe fn look_up(table: [i8; 16], offset: i32, indices: __m256i) -> __m256i {
    // SAFETY: the table is the 16 bytes that are read.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
        _mm256_shuffle_epi8(_mm256_add_epi8(table, _mm256_set1_epi8(offset as i8)), indices)
    }
}

/// Implement [`Codes`].
macro_rules! codes {
    (
        $kind:ty,
        offset $offset:literal,
        |$a:ident, $b:ident, $group:ident, $half:ident| $codes:expr,
        $scales:expr
        $(, |$isa:ident, $blocks:ident, $x:ident, $of_x:ident| $dots:expr)?
    ) => {
        impl Codes for $kind {
            const OFFSET: i32 = $offset;

            #[inline(always)]
            unsafe fn unsigned($a: *const u8, $b: *const u8, $group: usize, $half: usize) -> __m256i {
                // SAFETY: codes follow the scale, and a minimum if there is one: the offsets below and the 16 bytes, or 20
                // with fifth bits, that are read there end with the block, `BYTES` after its start.
                unsafe { $codes }
            }

            #[inline(always)]
            unsafe fn scales(blocks: &[*const u8; 8], group: usize) -> __m256 {
                // SAFETY: every kind of block is longer than the four bytes of a head.
                unsafe { $scales(heads(blocks), group) }
            }

            $(
                #[inline(always)]
                unsafe fn dots<P: ByteProducts>(
                    $isa: P,
                    $blocks: &[*const u8; 8],
                    _group: usize,
                    $x: *const i8,
                    $of_x: bool,
                ) -> __m256i {
                    // SAFETY: the one group of a block is its 32 codes, which follow the scale: bytes 2..34, and 32 of x.
                    unsafe { $dots }
                }
            )?
        }
    };
}

codes!(
    Q8_0,
    offset 128,
    |a, b, _group, half| _mm256_xor_si256(sixteen(a.add(2 + 16 * half), b.add(2 + 16 * half)), _mm256_set1_epi8(-128)),
    f16_scales,
    // a block is a register: half the loads, for a longer sum
    |isa, blocks, x, of_x| {
        let (x, offset) = (_mm256_loadu_si256(x.cast()), _mm256_set1_epi8(-128));
        let unsigned_x = _mm256_xor_si256(x, offset);
        let mut products = [_mm256_setzero_si256(); 8];
        for (product, block) in products.iter_mut().zip(blocks) {
            let codes = _mm256_loadu_si256(block.add(2).cast());
            let (unsigned, signed) = if of_x { (unsigned_x, codes) } else { (_mm256_xor_si256(codes, offset), x) };
            *product = isa.add(*product, unsigned, signed, Self::OFFSET);
        }
        sums::of_ints(products)
    }
);
codes!(Q4_0, offset 8, |a, b, _group, half| nibbles(a.add(2), b.add(2), half), f16_scales);
codes!(Q4_1, offset 0, |a, b, _group, half| nibbles(a.add(4), b.add(4), half), f16_scales);
codes!(Q5_0, offset 16, |a, b, _group, half| five_bits(a.add(2), b.add(2), half), f16_scales);
codes!(Q5_1, offset 0, |a, b, _group, half| five_bits(a.add(4), b.add(4), half), f16_scales);
codes!(
    Iq4Nl,
    offset 128,
    |a, b, _group, half| look_up(NON_LINEAR, 128, nibbles(a.add(2), b.add(2), half)),
    f16_scales
);
codes!(Mxfp4, offset 12, |a, b, _group, half| look_up(E2M1, 12, nibbles(a.add(1), b.add(1), half)), e8m0_scales);
codes!(Nvfp4, offset 12, |a, b, group, _half| look_up(E2M1, 12, eight_and_eight(a, b, group)), e4m3_scales);
codes!(Q2_0, offset 1, |a, b, group, half| crumbs(a.add(2), b.add(2), 2 * group + half), f16_scales);

/// The sixteen nibbles of a group of two blocks of nvfp4, the low ones first.
///
/// # Safety
/// - The processor has AVX2.
/// - `a` and `b` are valid for reads of the 36 bytes of a block, and `group` < 4.
#[inline(always)]
unsafe fn eight_and_eight(a: *const u8, b: *const u8, group: usize) -> __m256i {
    // SAFETY: eight bytes at 4 + 8 · group end at 36 at most.
    unsafe {
        let eight = |block: *const u8| _mm_loadl_epi64(block.add(4 + 8 * group).cast());
        let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(eight(a)), eight(b));
        let both = _mm256_unpacklo_epi64(both, _mm256_srli_epi16::<4>(both));
        _mm256_and_si256(both, _mm256_set1_epi8(15))
    }
}
