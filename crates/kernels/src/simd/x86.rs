//! The sets of x86-64: their tokens, and vectors of eight and sixteen lanes.

#![expect(unsafe_code, reason = "intrinsics of sets that a token proves")]

use std::arch::x86_64::*;

use super::{Isa, Lanes, Level, MAX_LANES, features, level};

/// The processor has AVX2, FMA and F16C, and it is not to be used as less.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(pub(super) ());

/// The processor has AVX-512 F, VL, BW and DQ, and it is not to be used as less.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(pub(super) ());

/// [`Avx512`] with BF16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512Bf16(());

/// [`Avx512`] with VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Vnni(());

impl Avx2 {
    /// If the level in use has the set.
    #[inline(always)]
    pub(crate) fn in_use() -> Option<Self> {
        (level() >= Level::Avx2).then_some(Self(()))
    }
}

impl Avx512Bf16 {
    /// If the processor has the set, whatever is in use.
    pub(crate) fn detected() -> Option<Self> {
        features!(avx512bf16 detect).then_some(Self(()))
    }

    /// If the level in use has the set.
    #[inline(always)]
    pub(crate) fn in_use() -> Option<Self> {
        (level() == Level::Avx512Bf16).then_some(Self(()))
    }
}

impl From<Avx512Bf16> for Avx512 {
    #[inline(always)]
    fn from(_: Avx512Bf16) -> Self {
        Self(())
    }
}

impl Vnni {
    /// If the level in use has AVX-512, and the processor VNNI too.
    #[inline(always)]
    pub(crate) fn in_use() -> Option<Self> {
        (level() >= Level::Avx512 && features!(vnni detect)).then_some(Self(()))
    }
}

/// AVX-512 F has AVX2, FMA and F16C in it, and a level is in use only if all below it are there.
impl From<Vnni> for Avx2 {
    #[inline(always)]
    fn from(_: Vnni) -> Self {
        Self(())
    }
}

/// Implement [`Isa`] for a token, and where `$load_part` and `$more` are of other instructions, by these.
macro_rules! isa {
    ($set:ident, $vector:ident, $splat:ident, $load:ident, |$from:ident, $lanes:ident| $load_part:expr $(, $more:item)?) => {
        impl Isa for $set {
            const FMA: bool = true;
            type Lanes = $vector;

            #[inline(always)]
            fn splat(self, x: f32) -> $vector {
                // SAFETY: `self` proves that the processor has the instruction.
                $vector(unsafe { $splat(x) })
            }

            #[inline(always)]
            unsafe fn load(self, from: *const f32) -> $vector {
                // SAFETY: `self` proves that the processor has the instruction, which reads the N floats that are at `from`
                // by the contract of the trait.
                $vector(unsafe { $load(from) })
            }

            #[inline(always)]
            unsafe fn load_part(self, $from: *const f32, $lanes: usize) -> $vector {
                // SAFETY: `self` proves that the processor has the instructions, and the mask leaves out all but the
                // `lanes` floats that are at `from` by the contract of the trait.
                $vector(unsafe { $load_part })
            }

            $($more)?
        }
    };
}

isa!(Avx2, Eight, _mm256_set1_ps, _mm256_loadu_ps, |from, lanes| _mm256_maskload_ps(from, mask_256(lanes)));
isa!(Avx512, Sixteen, _mm512_set1_ps, _mm512_loadu_ps, |from, lanes| _mm512_maskz_loadu_ps(mask_512(lanes), from));
isa!(
    Avx512Bf16,
    Sixteen,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    |from, lanes| _mm512_maskz_loadu_ps(mask_512(lanes), from),
    #[inline(always)]
    fn add_product(self, a: Sixteen, b: Sixteen, sum: Sixteen) -> Sixteen {
        // SAFETY: `self` proves that the processor has the instruction; both types are 512 bits without invalid values.
        Sixteen(unsafe {
            let (a, b) = (std::mem::transmute::<__m512, __m512bh>(a.0), std::mem::transmute::<__m512, __m512bh>(b.0));
            _mm512_dpbf16_ps(sum.0, a, b)
        })
    }
);

/// All bits of the first `lanes` ≤ 8 lanes.
///
/// # Safety
/// - The processor has AVX.
#[inline(always)]
unsafe fn mask_256(lanes: usize) -> __m256i {
    const ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    debug_assert!(lanes <= 8);
    // SAFETY: the caller has a token; 8 elements from 8 − lanes lie within the 16.
    unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(8 - lanes).cast()) }
}

/// A bit for each of the first `lanes` ≤ 16 lanes.
#[inline(always)]
fn mask_512(lanes: usize) -> __mmask16 {
    debug_assert!(lanes <= 16);
    ((1u32 << lanes) - 1) as u16
}

/// The methods of [`Lanes`] that are one instruction, of another name in each set.
macro_rules! instructions {
    (
        $store:ident, $add:ident, $sub:ident, $mul:ident, $mul_add:ident,
        |$self:ident, $to:ident, $lanes:ident| $store_part:expr
    ) => {
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: a vector is made by a token, which proves that the processor has the instruction; there is room for
            // the N floats that it writes by the contract of the trait.
            unsafe { $store(to, self.0) }
        }

        #[inline(always)]
        unsafe fn store_part($self, $to: *mut f32, $lanes: usize) {
            // SAFETY: a vector is made by a token, which proves that the processor has the instructions; the mask leaves
            // out all but the `lanes` floats for which there is room by the contract of the trait.
            unsafe { $store_part }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: a vector is made by a token, which proves that the processor has the instruction.
            Self(unsafe { $add(self.0, other.0) })
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: a vector is made by a token, which proves that the processor has the instruction.
            Self(unsafe { $sub(self.0, other.0) })
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: a vector is made by a token, which proves that the processor has the instruction.
            Self(unsafe { $mul(self.0, other.0) })
        }

        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: a vector is made by a token, which proves that the processor has the instruction.
            Self(unsafe { $mul_add(self.0, b.0, c.0) })
        }
    };
}

/// Eight lanes of AVX2 with FMA.
#[derive(Clone, Copy)]
pub(crate) struct Eight(__m256);

impl Eight {
    /// Σ of each half of four rows from row `i`: those of the four side by side in every half.
    #[inline(always)]
    fn sums_of_4(rows: &[Self; MAX_LANES], i: usize) -> __m256 {
        let [a, b, c, d] = [rows[i].0, rows[i + 1].0, rows[i + 2].0, rows[i + 3].0];
        // SAFETY: a vector is made by a token, which proves that the processor has the instructions.
        unsafe {
            let ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
            let (low, high) = (_mm256_unpacklo_pd(ab, cd), _mm256_unpackhi_pd(ab, cd));
            _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high))
        }
    }
}

impl Lanes for Eight {
    const N: usize = 8;
    instructions!(_mm256_storeu_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_fmadd_ps, |self, to, lanes| {
        _mm256_maskstore_ps(to, mask_256(lanes), self.0)
    });

    #[inline(always)]
    fn sums(rows: &[Self; MAX_LANES]) -> Self {
        let (p, q) = (Self::sums_of_4(rows, 0), Self::sums_of_4(rows, 4));
        // SAFETY: a vector is made by a token, which proves that the processor has the instructions.
        Self(unsafe { _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(p, q), _mm256_permute2f128_ps::<0x31>(p, q)) })
    }
}

/// Sixteen lanes of AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Sixteen(__m512);

impl Sixteen {
    /// Σ of each quarter of four rows from row `i`: those of the four side by side in every quarter.
    #[inline(always)]
    fn sums_of_4(rows: &[Self; MAX_LANES], i: usize) -> __m512 {
        let [a, b, c, d] = [rows[i].0, rows[i + 1].0, rows[i + 2].0, rows[i + 3].0];
        // SAFETY: a vector is made by a token, which proves that the processor has the instructions.
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
    fn fold(p: __m512, q: __m512) -> __m512 {
        // SAFETY: only `sums` calls this, which has vectors made by a token: the processor has the instructions.
        unsafe { _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(p, q), _mm512_shuffle_f32x4::<0xdd>(p, q)) }
    }
}

impl Lanes for Sixteen {
    const N: usize = 16;
    instructions!(_mm512_storeu_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_fmadd_ps, |self, to, lanes| {
        _mm512_mask_storeu_ps(to, mask_512(lanes), self.0)
    });

    #[inline(always)]
    fn sums(rows: &[Self; MAX_LANES]) -> Self {
        // no closure: it would be compiled for the base set
        let low = Self::fold(Self::sums_of_4(rows, 0), Self::sums_of_4(rows, 4));
        let high = Self::fold(Self::sums_of_4(rows, 8), Self::sums_of_4(rows, 12));
        Self(Self::fold(low, high))
    }
}
