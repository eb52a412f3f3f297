//! One tile of C in registers: `MR × (NV vectors)` accumulators, a broadcast of A and a row of B at a time.
//!
//! ```text
//! for each step of k:   b ← B[step, 0..NV·W]          NV loads
//!                       for r in 0..M:  acc[r] += A[r, step] · b        one broadcast, NV products
//! ```
//!
//! An element is 32 bits: one f32, and a step is one k; or two bfloat16, and a step is a pair of them,
//! `acc ← a₀·b₀ + (a₁·b₁ + acc)`, each addition rounded once. That is what the BF16 dot product of AVX-512 computes, so
//! processors without it get the same bits from two fused multiply-adds (but for sums below 2⁻¹²⁶, which the dot
//! product takes for 0).
//!
//! Each element of C is one chain of fused multiply-adds in order of k, so AVX-512, AVX2 and any other set with a fused
//! multiply-add give the same bits.

use super::{matrix::Operands, pairs::split};
use crate::simd::{Isa, Level, mul_add};

/// Where a tile reads and writes. All pointers and strides are in elements of 32 bits.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Steps of k.
    pub steps: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_step: usize,
    pub b: *const f32,
    pub b_step: usize,
    pub c: *mut f32,
    pub c_row: usize,
    /// Rows, 1..=MR.
    pub m: usize,
    /// Columns, 1..=NR.
    pub n: usize,
    /// What the product is added to, laid out as C (it may be C), or null.
    pub base: *const f32,
    /// What later tiles will read: a line of it is asked for every STEPS_PER_LINE steps. Any address will do.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "kernels by hand ask for it"))]
    pub ahead: *const f32,
}

/// Rows of a tile at most.
pub(super) const MR: usize = 12;
/// Steps between two lines that are asked for ahead.
pub(super) const STEPS_PER_LINE: usize = 4;
/// Floats of a cache line.
pub(super) const LINE: usize = 16;
/// Columns of a tile at most, and of a packed panel.
pub(super) const NR: usize = 32;

/// Compute one tile at `level`, of elements as `operands` says.
///
/// # Safety
/// `a` covers m × steps, `b` steps × n, `c` and `base` m × n elements at the given strides; 1 ≤ m ≤ MR, 1 ≤ n ≤ NR; the
/// processor has `level`.
#[expect(unsafe_code, reason = "pointers into slices whose bounds the caller checked")]
pub(super) unsafe fn run(level: Level, operands: Operands, tile: &Tile) {
    debug_assert!((1..=MR).contains(&tile.m) && (1..=NR).contains(&tile.n));
    // SAFETY: passed on to the caller.
    unsafe {
        match (level, operands) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512Bf16, Operands::Bf16) => avx512_dots::tile(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512Bf16 | Level::Avx512, Operands::F32) => avx512::tile(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, Operands::Bf16) => avx512_pairs::tile(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, Operands::F32) => avx2::tile(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, Operands::Bf16) => avx2_pairs::tile(tile),
            (_, Operands::F32) => portable::<crate::simd::Base, false>(tile),
            (_, Operands::Bf16) => portable::<crate::simd::Base, true>(tile),
        }
    }
}

/// Call `$f::<M>` with the row count as a constant.
#[cfg(target_arch = "x86_64")]
macro_rules! for_rows {
    ($m:expr, $f:ident, [$($rows:literal)*], $args:tt) => {
        match $m {
            $($rows => $f::<$rows> $args,)*
            _ => unreachable!("a tile has 1..=MR rows"),
        }
    };
}

/// Define `$name::tile` for AVX-512 with `$features`, where `$step` is the sum of `$acc` and one step's products.
#[cfg(target_arch = "x86_64")]
macro_rules! avx512_tile {
    ($name:ident, $features:literal, |$acc:ident, $a:ident, $b:ident| $step:expr) => {
        mod $name {
            use std::arch::x86_64::*;

            use super::{LINE, STEPS_PER_LINE, Tile};

            #[target_feature(enable = $features)]
            #[expect(unsafe_code, reason = "see run")]
            pub(super) unsafe fn tile(tile: &Tile) {
                let n = tile.n;
                let mask = |lanes: usize| if lanes >= 16 { u16::MAX } else { (1u16 << lanes) - 1 };
                // SAFETY: passed on to the caller of `run`.
                unsafe {
                    if n > 16 {
                        for_rows!(tile.m, wide, [1 2 3 4 5 6 7 8 9 10 11 12], (tile, mask(n - 16)))
                    } else {
                        for_rows!(tile.m, narrow, [1 2 3 4 5 6 7 8 9 10 11 12], (tile, mask(n)))
                    }
                }
            }

            #[target_feature(enable = $features)]
            #[expect(unsafe_code, reason = "see run")]
            unsafe fn wide<const M: usize>(tile: &Tile, mask: u16) {
                let mut acc = [[_mm512_setzero_ps(); 2]; M];
                let (mut a, mut b) = (tile.a, tile.b);
                for r in 0..M {
                    // C is not touched until the end: by then its lines have arrived
                    let c = tile.c.wrapping_add(r * tile.c_row).cast::<i8>();
                    _mm_prefetch::<_MM_HINT_ET0>(c);
                    _mm_prefetch::<_MM_HINT_ET0>(c.wrapping_add(64));
                }
                // SAFETY: passed on to the caller of `run`; the mask leaves out the columns that C and B do not have.
                unsafe {
                    for step in 0..tile.steps {
                        if step % STEPS_PER_LINE == 0 {
                            _mm_prefetch::<_MM_HINT_T1>(tile.ahead.wrapping_add(step / STEPS_PER_LINE * LINE).cast());
                        }
                        let b0 = _mm512_loadu_ps(b);
                        let b1 = _mm512_maskz_loadu_ps(mask, b.add(16));
                        for (r, acc) in acc.iter_mut().enumerate() {
                            let $a = _mm512_set1_ps(*a.add(r * tile.a_row));
                            acc[0] = {
                                let ($acc, $b) = (acc[0], b0);
                                $step
                            };
                            acc[1] = {
                                let ($acc, $b) = (acc[1], b1);
                                $step
                            };
                        }
                        a = a.wrapping_add(tile.a_step);
                        b = b.wrapping_add(tile.b_step);
                    }
                    for (r, mut acc) in acc.into_iter().enumerate() {
                        let c = tile.c.add(r * tile.c_row);
                        if !tile.base.is_null() {
                            let base = tile.base.add(r * tile.c_row);
                            acc[0] = _mm512_add_ps(_mm512_loadu_ps(base), acc[0]);
                            acc[1] = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, base.add(16)), acc[1]);
                        }
                        _mm512_storeu_ps(c, acc[0]);
                        _mm512_mask_storeu_ps(c.add(16), mask, acc[1]);
                    }
                }
            }

            #[target_feature(enable = $features)]
            #[expect(unsafe_code, reason = "see run")]
            unsafe fn narrow<const M: usize>(tile: &Tile, mask: u16) {
                let mut acc = [_mm512_setzero_ps(); M];
                let (mut a, mut b) = (tile.a, tile.b);
                // SAFETY: as in `wide`.
                unsafe {
                    for _ in 0..tile.steps {
                        let $b = _mm512_maskz_loadu_ps(mask, b);
                        for (r, acc) in acc.iter_mut().enumerate() {
                            let $a = _mm512_set1_ps(*a.add(r * tile.a_row));
                            let $acc = *acc;
                            *acc = $step;
                        }
                        a = a.wrapping_add(tile.a_step);
                        b = b.wrapping_add(tile.b_step);
                    }
                    for (r, mut acc) in acc.into_iter().enumerate() {
                        let c = tile.c.add(r * tile.c_row);
                        if !tile.base.is_null() {
                            acc = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, tile.base.add(r * tile.c_row)), acc);
                        }
                        _mm512_mask_storeu_ps(c, mask, acc);
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
avx512_tile!(avx512, "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma", |acc, a, b| _mm512_fmadd_ps(a, b, acc));
#[cfg(target_arch = "x86_64")]
avx512_tile!(avx512_dots, "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma", |acc, a, b| super::x86::dot_512(
    acc, a, b
));
#[cfg(target_arch = "x86_64")]
avx512_tile!(avx512_pairs, "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma", |acc, a, b| super::x86::pairs_512(acc, a, b));

/// Define `$name::tile` for AVX2, in pieces of at most `$rows` × 16, the most that sixteen registers hold.
#[cfg(target_arch = "x86_64")]
macro_rules! avx2_tile {
    ($name:ident, $rows:literal: [$($count:literal)*], $pairs:literal, |$acc:ident, $a:ident, $b:ident| $step:expr) => {
        mod $name {
            use std::arch::x86_64::*;

            use super::{Tile, portable};

            #[target_feature(enable = "avx2,fma")]
            #[expect(unsafe_code, reason = "see run")]
            pub(super) unsafe fn tile(tile: &Tile) {
                for row in (0..tile.m).step_by($rows) {
                    for col in (0..tile.n).step_by(16) {
                        // SAFETY: a piece of the tile lies inside it.
                        unsafe {
                            let piece = tile.piece(row, col, $rows, 16);
                            if piece.n == 16 {
                                for_rows!(piece.m, full, [$($count)*], (&piece))
                            } else {
                                portable::<crate::simd::Fused, $pairs>(&piece);
                            }
                        }
                    }
                }
            }

            #[target_feature(enable = "avx2,fma")]
            #[expect(unsafe_code, reason = "see run")]
            unsafe fn full<const M: usize>(tile: &Tile) {
                let mut acc = [[_mm256_setzero_ps(); 2]; M];
                let (mut a, mut b) = (tile.a, tile.b);
                // SAFETY: passed on to the caller of `run`.
                unsafe {
                    for _ in 0..tile.steps {
                        let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                        for (r, acc) in acc.iter_mut().enumerate() {
                            let $a = _mm256_set1_ps(*a.add(r * tile.a_row));
                            acc[0] = {
                                let ($acc, $b) = (acc[0], b0);
                                $step
                            };
                            acc[1] = {
                                let ($acc, $b) = (acc[1], b1);
                                $step
                            };
                        }
                        a = a.wrapping_add(tile.a_step);
                        b = b.wrapping_add(tile.b_step);
                    }
                    for (r, mut acc) in acc.into_iter().enumerate() {
                        let c = tile.c.add(r * tile.c_row);
                        if !tile.base.is_null() {
                            let base = tile.base.add(r * tile.c_row);
                            acc[0] = _mm256_add_ps(_mm256_loadu_ps(base), acc[0]);
                            acc[1] = _mm256_add_ps(_mm256_loadu_ps(base.add(8)), acc[1]);
                        }
                        _mm256_storeu_ps(c, acc[0]);
                        _mm256_storeu_ps(c.add(8), acc[1]);
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
avx2_tile!(avx2, 6: [1 2 3 4 5 6], false, |acc, a, b| _mm256_fmadd_ps(a, b, acc));
#[cfg(target_arch = "x86_64")]
avx2_tile!(avx2_pairs, 4: [1 2 3 4], true, |acc, a, b| super::x86::pairs_256(acc, a, b));

/// Sums of a step's products where an element is a pair.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// Bits of the second of a pair.
    const HIGH: i32 = 0xffff_0000_u32 as i32;

    #[inline]
    #[target_feature(enable = "avx512bf16,avx512f")]
    #[expect(unsafe_code, reason = "one register under two names")]
    pub(super) fn dot_512(acc: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: both types are 512 bits without invalid values.
        let (a, b) =
            unsafe { (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b)) };
        _mm512_dpbf16_ps(acc, a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(super) fn pairs_512(acc: __m512, a: __m512, b: __m512) -> __m512 {
        let high = _mm512_castsi512_ps(_mm512_set1_epi32(HIGH));
        let acc = _mm512_fmadd_ps(_mm512_and_ps(a, high), _mm512_and_ps(b, high), acc);
        let low_a = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(a)));
        let low_b = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(b)));
        _mm512_fmadd_ps(low_a, low_b, acc)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn pairs_256(acc: __m256, a: __m256, b: __m256) -> __m256 {
        let high = _mm256_castsi256_ps(_mm256_set1_epi32(HIGH));
        let acc = _mm256_fmadd_ps(_mm256_and_ps(a, high), _mm256_and_ps(b, high), acc);
        let low_a = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(a)));
        let low_b = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(b)));
        _mm256_fmadd_ps(low_a, low_b, acc)
    }
}

impl Tile {
    /// The part from (row, col) on, of at most `m` × `n`.
    ///
    /// # Safety
    /// The tile must have an element (row, col).
    #[inline(always)]
    #[expect(unsafe_code, reason = "see run")]
    unsafe fn piece(&self, row: usize, col: usize, m: usize, n: usize) -> Self {
        // SAFETY: passed on to the caller.
        unsafe {
            Self {
                a: self.a.add(row * self.a_row),
                b: self.b.add(col),
                c: self.c.add(row * self.c_row + col),
                base: self.base.wrapping_add(if self.base.is_null() { 0 } else { row * self.c_row + col }),
                m: (self.m - row).min(m),
                n: (self.n - col).min(n),
                ..*self
            }
        }
    }
}

/// Pieces of four rows, columns in lanes that the compiler vectorises.
#[inline(always)]
#[expect(unsafe_code, reason = "see run")]
unsafe fn portable<S: Isa, const PAIRS: bool>(tile: &Tile) {
    for row in (0..tile.m).step_by(4) {
        for col in (0..tile.n).step_by(8) {
            // SAFETY: a piece of the tile lies inside it.
            unsafe {
                let piece = tile.piece(row, col, 4, 8);
                match piece.m {
                    1 => portable_piece::<1, S, PAIRS>(&piece),
                    2 => portable_piece::<2, S, PAIRS>(&piece),
                    3 => portable_piece::<3, S, PAIRS>(&piece),
                    _ => portable_piece::<4, S, PAIRS>(&piece),
                }
            }
        }
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "see run")]
unsafe fn portable_piece<const M: usize, S: Isa, const PAIRS: bool>(tile: &Tile) {
    let mut acc = [[0.0f32; 8]; M];
    // SAFETY: passed on to the caller of `run`; only n columns are touched.
    unsafe {
        for step in 0..tile.steps {
            let row = tile.b.add(step * tile.b_step);
            let mut b = [0.0; 8];
            if tile.n == 8 {
                b = row.cast::<[f32; 8]>().read_unaligned();
            } else {
                for (j, b) in b.iter_mut().enumerate().take(tile.n) {
                    *b = *row.add(j);
                }
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = *tile.a.add(r * tile.a_row + step * tile.a_step);
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc = if PAIRS {
                        let ([a0, a1], [b0, b1]) = (split(a), split(b));
                        mul_add::<S>(a0, b0, mul_add::<S>(a1, b1, *acc))
                    } else {
                        mul_add::<S>(a, b, *acc)
                    };
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            for (j, acc) in acc.into_iter().enumerate().take(tile.n) {
                let at = r * tile.c_row + j;
                *tile.c.add(at) = if tile.base.is_null() { acc } else { *tile.base.add(at) + acc };
            }
        }
    }
}
