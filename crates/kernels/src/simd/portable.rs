//! Four lanes of whatever the processor has, by the compiler.

#![expect(unsafe_code, reason = "loads and stores take a pointer")]

use super::{Base, Lanes, MAX_LANES, mul_add};

/// Four lanes, the width of SSE2 and of WebAssembly.
#[derive(Clone, Copy)]
pub(crate) struct Four([f32; 4]);

impl Four {
    /// `x` in every lane.
    #[inline(always)]
    pub(super) fn splat(x: f32) -> Self {
        Self([x; 4])
    }

    /// Four floats.
    ///
    /// # Safety
    /// - `from` is valid for reads of four floats, of any alignment.
    #[inline(always)]
    pub(super) unsafe fn load(from: *const f32) -> Self {
        // SAFETY: four floats are there by this contract, and the read needs no alignment.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

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
