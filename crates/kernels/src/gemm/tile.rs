//! One tile of C in registers: `MR × (NV vectors)` accumulators, a broadcast of A and a row of B at a time.
//!
//! ```text
//! for k:   b ← B[k, 0..NV·W]          NV loads
//!          for r in 0..M:  acc[r] += A[r, k] · b        one broadcast, NV fused multiply-adds
//! ```
//!
//! Each element is one chain of fused multiply-adds in order of k, so AVX-512, AVX2 and any other set with a fused
//! multiply-add give the same bits.

use crate::simd::{Isa, Level, mul_add};

/// Where a tile reads and writes. All pointers and strides are in elements.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub k: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_col: usize,
    pub b: *const f32,
    pub b_row: usize,
    pub c: *mut f32,
    pub c_row: usize,
    /// Rows, 1..=MR.
    pub m: usize,
    /// Columns, 1..=NR.
    pub n: usize,
    /// What the product is added to, laid out as C (it may be C), or null.
    pub base: *const f32,
    /// What later tiles will read: a line of it is asked for every K_PER_LINE steps of k. Any address will do.
    pub ahead: *const f32,
}

/// Rows of a tile at most.
pub(super) const MR: usize = 12;
/// Steps of k between two lines that are asked for ahead.
pub(super) const K_PER_LINE: usize = 4;
/// Floats of a cache line.
pub(super) const LINE: usize = 16;
/// Columns of a tile at most, and of a packed panel.
pub(super) const NR: usize = 32;

/// Compute one tile at `level`.
///
/// # Safety
/// `a` covers m × k, `b` k × n, `c` and `base` m × n elements at the given strides; 1 ≤ m ≤ MR, 1 ≤ n ≤ NR; the processor has
/// `level`.
#[expect(unsafe_code, reason = "pointers into slices whose bounds the caller checked")]
pub(super) unsafe fn run(level: Level, tile: &Tile) {
    debug_assert!((1..=MR).contains(&tile.m) && (1..=NR).contains(&tile.n));
    // SAFETY: passed on to the caller.
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 | Level::Avx512 => avx512(tile),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(tile),
            _ => portable::<crate::simd::Base>(tile),
        }
    }
}

/// Call `$f::<M>` with the row count as a constant.
macro_rules! for_rows {
    ($m:expr, $f:ident, [$($rows:literal)*], $args:tt) => {
        match $m {
            $($rows => $f::<$rows> $args,)*
            _ => unreachable!("a tile has 1..=MR rows"),
        }
    };
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[expect(unsafe_code, reason = "see run")]
unsafe fn avx512(tile: &Tile) {
    let n = tile.n;
    let mask = |lanes: usize| if lanes >= 16 { u16::MAX } else { (1u16 << lanes) - 1 };
    // SAFETY: passed on to the caller of `run`.
    unsafe {
        if n > 16 {
            for_rows!(tile.m, avx512_wide, [1 2 3 4 5 6 7 8 9 10 11 12], (tile, mask(n - 16)))
        } else {
            for_rows!(tile.m, avx512_narrow, [1 2 3 4 5 6 7 8 9 10 11 12], (tile, mask(n)))
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[expect(unsafe_code, reason = "see run")]
unsafe fn avx512_wide<const M: usize>(tile: &Tile, mask: u16) {
    use std::arch::x86_64::*;
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
        for step in 0..tile.k {
            if step % K_PER_LINE == 0 {
                _mm_prefetch::<_MM_HINT_T1>(tile.ahead.wrapping_add(step / K_PER_LINE * LINE).cast());
            }
            let b0 = _mm512_loadu_ps(b);
            let b1 = _mm512_maskz_loadu_ps(mask, b.add(16));
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*a.add(r * tile.a_row));
                acc[0] = _mm512_fmadd_ps(a, b0, acc[0]);
                acc[1] = _mm512_fmadd_ps(a, b1, acc[1]);
            }
            a = a.wrapping_add(tile.a_col);
            b = b.wrapping_add(tile.b_row);
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

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[expect(unsafe_code, reason = "see run")]
unsafe fn avx512_narrow<const M: usize>(tile: &Tile, mask: u16) {
    use std::arch::x86_64::*;
    let mut acc = [_mm512_setzero_ps(); M];
    let (mut a, mut b) = (tile.a, tile.b);
    // SAFETY: as in `avx512_wide`.
    unsafe {
        for _ in 0..tile.k {
            let b0 = _mm512_maskz_loadu_ps(mask, b);
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = _mm512_fmadd_ps(_mm512_set1_ps(*a.add(r * tile.a_row)), b0, *acc);
            }
            a = a.wrapping_add(tile.a_col);
            b = b.wrapping_add(tile.b_row);
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

/// A tile as pieces of at most 6 × 16, the most that sixteen registers hold.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "see run")]
unsafe fn avx2(tile: &Tile) {
    for row in (0..tile.m).step_by(6) {
        for col in (0..tile.n).step_by(16) {
            let (m, n) = ((tile.m - row).min(6), (tile.n - col).min(16));
            // SAFETY: a piece of the tile lies inside it.
            unsafe {
                let piece = Tile {
                    a: tile.a.add(row * tile.a_row),
                    b: tile.b.add(col),
                    c: tile.c.add(row * tile.c_row + col),
                    base: tile.base.wrapping_add(if tile.base.is_null() { 0 } else { row * tile.c_row + col }),
                    m,
                    n,
                    ..*tile
                };
                if n == 16 {
                    for_rows!(m, avx2_full, [1 2 3 4 5 6], (&piece))
                } else {
                    portable::<crate::simd::Fused>(&piece);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "see run")]
unsafe fn avx2_full<const M: usize>(tile: &Tile) {
    use std::arch::x86_64::*;
    let mut acc = [[_mm256_setzero_ps(); 2]; M];
    let (mut a, mut b) = (tile.a, tile.b);
    // SAFETY: passed on to the caller of `run`.
    unsafe {
        for _ in 0..tile.k {
            let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = _mm256_set1_ps(*a.add(r * tile.a_row));
                acc[0] = _mm256_fmadd_ps(a, b0, acc[0]);
                acc[1] = _mm256_fmadd_ps(a, b1, acc[1]);
            }
            a = a.wrapping_add(tile.a_col);
            b = b.wrapping_add(tile.b_row);
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

/// Rows one by one, columns in lanes that the compiler vectorises.
#[inline(always)]
#[expect(unsafe_code, reason = "see run")]
unsafe fn portable<S: Isa>(tile: &Tile) {
    for row in (0..tile.m).step_by(4) {
        for col in (0..tile.n).step_by(8) {
            let (m, n) = ((tile.m - row).min(4), (tile.n - col).min(8));
            // SAFETY: a piece of the tile lies inside it.
            unsafe {
                let piece = Tile {
                    a: tile.a.add(row * tile.a_row),
                    b: tile.b.add(col),
                    c: tile.c.add(row * tile.c_row + col),
                    base: tile.base.wrapping_add(if tile.base.is_null() { 0 } else { row * tile.c_row + col }),
                    m,
                    n,
                    ..*tile
                };
                match m {
                    1 => portable_piece::<1, S>(&piece),
                    2 => portable_piece::<2, S>(&piece),
                    3 => portable_piece::<3, S>(&piece),
                    _ => portable_piece::<4, S>(&piece),
                }
            }
        }
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "see run")]
unsafe fn portable_piece<const M: usize, S: Isa>(tile: &Tile) {
    let mut acc = [[0.0f32; 8]; M];
    // SAFETY: passed on to the caller of `run`; only n columns are touched.
    unsafe {
        for k in 0..tile.k {
            let row = tile.b.add(k * tile.b_row);
            let mut b = [0.0; 8];
            if tile.n == 8 {
                b = row.cast::<[f32; 8]>().read_unaligned();
            } else {
                for (j, b) in b.iter_mut().enumerate().take(tile.n) {
                    *b = *row.add(j);
                }
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = *tile.a.add(r * tile.a_row + k * tile.a_col);
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc = mul_add::<S>(a, b, *acc);
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
