//! Four lanes of NEON, which every aarch64 processor has.

#![expect(unsafe_code, reason = "intrinsics, and loads and stores take a pointer")]

use std::arch::aarch64::*;

use super::{Lanes, MAX_LANES};

/// Four lanes.
#[derive(Clone, Copy)]
pub(crate) struct Four(float32x4_t);

impl Four {
    /// `x` in every lane.
    #[inline(always)]
    pub(super) fn splat(x: f32) -> Self {
        // SAFETY: NEON is part of the architecture.
        Self(unsafe { vdupq_n_f32(x) })
    }

    /// Four floats.
    ///
    /// # Safety
    /// - `from` is valid for reads of four floats, of any alignment.
    #[inline(always)]
    pub(super) unsafe fn load(from: *const f32) -> Self {
        // SAFETY: NEON is part of the architecture, and four floats are there by this contract.
        Self(unsafe { vld1q_f32(from) })
    }
}

impl Lanes for Four {
    const N: usize = 4;

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: NEON is part of the architecture, and there is room for four floats by the contract of the trait.
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: usize) {
        let mut four = [0.0; 4];
        // SAFETY: NEON is part of the architecture, and there is room for four floats.
        unsafe { vst1q_f32(four.as_mut_ptr(), self.0) };
        for (i, x) in four.into_iter().enumerate().take(lanes) {
            // SAFETY: only the first `lanes` floats are written, for which there is room by the contract of the trait.
            unsafe { to.add(i).write_unaligned(x) }
        }
    }

    #[inline(always)]
    fn sums(rows: &[Self; MAX_LANES]) -> Self {
        let [a, b, c, d] = [rows[0].0, rows[1].0, rows[2].0, rows[3].0];
        // SAFETY: NEON is part of the architecture.
        unsafe {
            let ab = vaddq_f32(vzip1q_f32(a, b), vzip2q_f32(a, b));
            let cd = vaddq_f32(vzip1q_f32(c, d), vzip2q_f32(c, d));
            let (ab, cd) = (vreinterpretq_f64_f32(ab), vreinterpretq_f64_f32(cd));
            let (low, high) = (vzip1q_f64(ab, cd), vzip2q_f64(ab, cd));
            Self(vaddq_f32(vreinterpretq_f32_f64(low), vreinterpretq_f32_f64(high)))
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Self(unsafe { vfmaq_f32(c.0, self.0, b.0) })
    }
}
