//! Vectors of f32, one type an instruction set, for loops whose data must stay in registers.
//!
//! The functions are inlined into functions compiled for the set; called elsewhere they would be undefined behaviour,
//! so all are unsafe.

#![expect(unsafe_code, reason = "intrinsics of an instruction set that the caller detected")]

use crate::simd::{Base, Isa, mul_add};

/// The most lanes of any set.
pub(super) const MAX_LANES: usize = 16;

/// A vector of [`N`](Self::N) lanes.
///
/// # Safety
/// The processor has the instruction set of the type. Pointers are to as many floats as there are lanes, or to the
/// `lanes ≤ N` of the partial forms.
pub(super) trait Lanes: Copy {
    /// Lanes of the vector.
    const N: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `lanes`, then zeros.
    unsafe fn load_part(from: *const f32, lanes: usize) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn store_part(self, to: *mut f32, lanes: usize);
    /// Σ of the lanes of each of the first [`N`](Self::N) of `rows`, lane i that of row i.
    unsafe fn sums(rows: &[Self; MAX_LANES]) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// self·b + c
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// The first `lanes`, then zeros; any number of lanes ≥ 1.
    #[inline(always)]
    unsafe fn load_up_to(from: *const f32, lanes: usize) -> Self {
        // SAFETY: the caller's.
        unsafe { if lanes < Self::N { Self::load_part(from, lanes) } else { Self::load(from) } }
    }
    #[inline(always)]
    unsafe fn store_up_to(self, to: *mut f32, lanes: usize) {
        // SAFETY: the caller's.
        unsafe { if lanes < Self::N { self.store_part(to, lanes) } else { self.store(to) } }
    }
    /// Ask for the cache line at an address, which need not exist.
    unsafe fn prefetch(_address: *const f32) {}
    /// The same, to write there.
    unsafe fn prefetch_to_write(_address: *const f32) {}
}

/// What any processor has: four lanes, the width of SSE2 and NEON.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 4]);

impl Portable {
    #[inline(always)]
    fn map(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Portable {
    const N: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, lanes: usize) -> Self {
        // SAFETY: the caller's.
        Self(std::array::from_fn(|i| if i < lanes { unsafe { *from.add(i) } } else { 0.0 }))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: usize) {
        for (i, x) in self.0.into_iter().enumerate().take(lanes) {
            // SAFETY: the caller's.
            unsafe { *to.add(i) = x }
        }
    }

    #[inline(always)]
    unsafe fn sums(rows: &[Self; MAX_LANES]) -> Self {
        Self(std::array::from_fn(|i| {
            let [a, b, c, d] = rows[i].0;
            (a + c) + (b + d)
        }))
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.map(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.map(other, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.map(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| {
            if Base::FMA { mul_add::<Base>(self.0[i], b.0[i], c.0[i]) } else { self.0[i] * b.0[i] + c.0[i] }
        }))
    }
}

/// Define a function whose body is compiled for the vectors of every [`Level`](crate::simd::Level).
macro_rules! lanes {
    (
        $(#[$meta:meta])*
        $vis:vis unsafe fn $name:ident<$lanes:ident>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            unsafe fn body<$lanes: $crate::scan::lanes::Lanes>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's.
                unsafe { body::<$crate::scan::lanes::Avx512>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's.
                unsafe { body::<$crate::scan::lanes::Avx2>($($arg),*) }
            }

            // SAFETY: `level` returned a level that this processor was found to have; the rest is the caller's.
            unsafe {
                match $crate::simd::level() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx512Bf16 | $crate::simd::Level::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx2 => avx2($($arg),*),
                    _ => body::<$crate::scan::lanes::Portable>($($arg),*),
                }
            }
        }
    };
}
pub(super) use lanes;

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Lanes, MAX_LANES};

    // SAFETY of the bodies: the caller's, see the trait.
    /// The methods of [`Lanes`] that are one instruction, of another name in each set.
    macro_rules! instructions {
        ($splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $mul_add:ident) => {
            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                unsafe { Self($splat(x)) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                unsafe { Self($load(from)) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                unsafe { $store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                unsafe { Self($add(self.0, other.0)) }
            }

            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                unsafe { Self($sub(self.0, other.0)) }
            }

            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                unsafe { Self($mul(self.0, other.0)) }
            }

            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                unsafe { Self($mul_add(self.0, b.0, c.0)) }
            }

            #[inline(always)]
            unsafe fn prefetch(address: *const f32) {
                unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
            }

            #[inline(always)]
            unsafe fn prefetch_to_write(address: *const f32) {
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast()) }
            }
        };
    }

    /// Eight lanes of AVX2 with FMA.
    #[derive(Clone, Copy)]
    pub(in crate::scan) struct Avx2(__m256);

    impl Avx2 {
        /// All bits of the first `lanes` lanes.
        #[inline(always)]
        unsafe fn mask(lanes: usize) -> __m256i {
            const ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
            debug_assert!(lanes <= 8);
            // SAFETY: 8 elements from 8 − lanes lie within 16.
            unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(8 - lanes).cast()) }
        }

        /// Σ of each half of four rows from row `i`: those of the four side by side in every half.
        #[inline(always)]
        unsafe fn sums_of_4(rows: &[Self; MAX_LANES], i: usize) -> __m256 {
            let [a, b, c, d] = [rows[i].0, rows[i + 1].0, rows[i + 2].0, rows[i + 3].0];
            // SAFETY: the caller's.
            unsafe {
                let ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
                let (low, high) = (_mm256_unpacklo_pd(ab, cd), _mm256_unpackhi_pd(ab, cd));
                _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high))
            }
        }
    }

    // SAFETY of the bodies: the caller's, see the trait.
    impl Lanes for Avx2 {
        const N: usize = 8;
        instructions!(
            _mm256_set1_ps,
            _mm256_loadu_ps,
            _mm256_storeu_ps,
            _mm256_add_ps,
            _mm256_sub_ps,
            _mm256_mul_ps,
            _mm256_fmadd_ps
        );

        #[inline(always)]
        unsafe fn load_part(from: *const f32, lanes: usize) -> Self {
            unsafe { Self(_mm256_maskload_ps(from, Self::mask(lanes))) }
        }

        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, lanes: usize) {
            unsafe { _mm256_maskstore_ps(to, Self::mask(lanes), self.0) }
        }

        #[inline(always)]
        unsafe fn sums(rows: &[Self; MAX_LANES]) -> Self {
            unsafe {
                let (p, q) = (Self::sums_of_4(rows, 0), Self::sums_of_4(rows, 4));
                Self(_mm256_add_ps(_mm256_permute2f128_ps::<0x20>(p, q), _mm256_permute2f128_ps::<0x31>(p, q)))
            }
        }
    }

    /// Sixteen lanes of AVX-512.
    #[derive(Clone, Copy)]
    pub(in crate::scan) struct Avx512(__m512);

    impl Avx512 {
        #[inline(always)]
        fn mask(lanes: usize) -> __mmask16 {
            debug_assert!(lanes <= 16);
            ((1u32 << lanes) - 1) as u16
        }

        /// Σ of each quarter of four rows from row `i`: those of the four side by side in every quarter.
        #[inline(always)]
        unsafe fn sums_of_4(rows: &[Self; MAX_LANES], i: usize) -> __m512 {
            let [a, b, c, d] = [rows[i].0, rows[i + 1].0, rows[i + 2].0, rows[i + 3].0];
            // SAFETY: the caller's.
            unsafe {
                let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
                let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
                _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
            }
        }

        /// Quarters 0 and 2 of `p` and of `q`, plus their quarters 1 and 3.
        #[inline(always)]
        unsafe fn fold(p: __m512, q: __m512) -> __m512 {
            // SAFETY: the caller's.
            unsafe { _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(p, q), _mm512_shuffle_f32x4::<0xdd>(p, q)) }
        }
    }

    // SAFETY of the bodies: the caller's, see the trait.
    impl Lanes for Avx512 {
        const N: usize = 16;
        instructions!(
            _mm512_set1_ps,
            _mm512_loadu_ps,
            _mm512_storeu_ps,
            _mm512_add_ps,
            _mm512_sub_ps,
            _mm512_mul_ps,
            _mm512_fmadd_ps
        );

        #[inline(always)]
        unsafe fn load_part(from: *const f32, lanes: usize) -> Self {
            unsafe { Self(_mm512_maskz_loadu_ps(Self::mask(lanes), from)) }
        }

        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, lanes: usize) {
            unsafe { _mm512_mask_storeu_ps(to, Self::mask(lanes), self.0) }
        }

        #[inline(always)]
        unsafe fn sums(rows: &[Self; MAX_LANES]) -> Self {
            unsafe {
                let low = Self::fold(Self::sums_of_4(rows, 0), Self::sums_of_4(rows, 4));
                let high = Self::fold(Self::sums_of_4(rows, 8), Self::sums_of_4(rows, 12));
                Self(Self::fold(low, high))
            }
        }
    }
}
