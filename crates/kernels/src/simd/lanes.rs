//! Vectors of f32, for loops whose data must stay in registers.

#![expect(unsafe_code, reason = "stores take a pointer")]

use super::{Base, mul_add};

/// The most lanes of any set.
pub(crate) const MAX_LANES: usize = 16;

/// A vector, which only the token of its [`Isa`](super::Isa) makes: to have one is to be allowed its instructions.
pub(crate) trait Lanes: Copy {
    /// How many lanes there are.
    const N: usize;

    /// Store every lane.
    ///
    /// # Safety
    /// - `to` is valid for writes of [`N`](Self::N) floats, of any alignment.
    unsafe fn store(self, to: *mut f32);

    /// Store the first `lanes` ≤ N.
    ///
    /// # Safety
    /// - `to` is valid for writes of `lanes` floats, of any alignment.
    unsafe fn store_part(self, to: *mut f32, lanes: usize);

    /// Store the first `lanes`, or all if that is more.
    ///
    /// # Safety
    /// - `to` is valid for writes of `lanes.min(N)` floats, of any alignment.
    #[inline(always)]
    unsafe fn store_up_to(self, to: *mut f32, lanes: usize) {
        // SAFETY: `store_part` writes `lanes` floats where these are fewer than N, `store` writes N elsewhere.
        unsafe { if lanes < Self::N { self.store_part(to, lanes) } else { self.store(to) } }
    }

    /// Σ of the lanes of each of the first [`N`](Self::N) of `rows`, lane i that of row i.
    fn sums(rows: &[Self; MAX_LANES]) -> Self;

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;

    /// self·b + c
    fn mul_add(self, b: Self, c: Self) -> Self;
}

/// What any processor has: four lanes, the width of SSE2 and NEON.
#[derive(Clone, Copy)]
pub(crate) struct Four(pub(super) [f32; 4]);

impl Four {
    #[inline(always)]
    fn map(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Four {
    const N: usize = 4;

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: there is room for four floats by the contract of the trait, and the write needs no alignment.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: usize) {
        for (i, x) in self.0.into_iter().enumerate().take(lanes) {
            // SAFETY: only the first `lanes` floats are written, for which there is room by the contract of the trait.
            unsafe { to.add(i).write_unaligned(x) }
        }
    }

    #[inline(always)]
    fn sums(rows: &[Self; MAX_LANES]) -> Self {
        Self(std::array::from_fn(|i| {
            let [a, b, c, d] = rows[i].0;
            (a + c) + (b + d)
        }))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.map(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.map(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.map(other, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| mul_add::<Base>(self.0[i], b.0[i], c.0[i])))
    }
}
