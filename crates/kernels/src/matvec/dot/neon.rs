//! aarch64: `sdot` where the processor has it, `smull` and `sadalp` elsewhere.
//!
//! ```text
//! DotProd    acc[j] += Σ₄ w[4j..]·x[4j..]           a tile: Σ₄ w[4i..]·x[4j..], w from a lane
//! Widening   w·x in 16 bits, two of them added ─ pairs ─▶ acc in 32 bits
//! ```
//!
//! The intrinsics of `sdot` are not in stable Rust; the instruction itself is.

use std::arch::{aarch64::*, asm};

use super::Dot;
use crate::{
    matvec::{LANES, QUAD},
    simd::{Level, level},
};

/// Codes of a register.
const STEP: usize = 16;

/// Dot products of four bytes, of the extension DotProd.
#[derive(Clone, Copy)]
pub(in crate::matvec) struct DotProd(());

impl DotProd {
    /// If that is the level in use, which then was detected.
    #[inline]
    pub(in crate::matvec) fn in_use() -> Option<Self> {
        (level() == Level::DotProd).then_some(Self(()))
    }

    /// `acc[j]` + Σ `w[4j + k]`·`x[4j + k]` over k < 4.
    #[inline(always)]
    fn add(self, mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: `self` proves that the processor has the instruction, which touches nothing but `acc`.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {acc:v}.4s, {w:v}.16b, {x:v}.16b",
                acc = inout(vreg) acc, w = in(vreg) w, x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        acc
    }

    /// `acc[j]` + Σ `w[4·INDEX + k]`·`x[4j + k]` over k < 4.
    #[inline(always)]
    fn add_quad<const INDEX: usize>(self, mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: `self` proves that the processor has the instruction, which touches nothing but `acc`.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {acc:v}.4s, {x:v}.16b, {w:v}.4b[{index}]",
                acc = inout(vreg) acc, w = in(vreg) w, x = in(vreg) x, index = const INDEX,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        acc
    }
}

impl Dot for DotProd {
    #[inline(always)]
    fn one(self, w: &[i8], x: &[i8]) -> i32 {
        let mut acc = zero();
        for (w, x) in sixteens(w).zip(sixteens(x)) {
            acc = self.add(acc, w, x);
        }
        sum(acc)
    }

    #[inline(always)]
    fn tile(self, w: &[i8], x: &[i8]) -> [i32; LANES] {
        let (mut low, mut high) = (zero(), zero());
        for (w, x) in sixteens(w).zip(x.as_chunks::<{ STEP * LANES }>().0) {
            let mut x = sixteens(x);
            let mut next = || x.next().expect("eight registers");
            (low, high) = (self.add_quad::<0>(low, w, next()), self.add_quad::<0>(high, w, next()));
            (low, high) = (self.add_quad::<1>(low, w, next()), self.add_quad::<1>(high, w, next()));
            (low, high) = (self.add_quad::<2>(low, w, next()), self.add_quad::<2>(high, w, next()));
            (low, high) = (self.add_quad::<3>(low, w, next()), self.add_quad::<3>(high, w, next()));
        }
        joined(low, high)
    }
}

/// Multiplications of the base architecture: every aarch64 target that has the standard library has NEON. Two products fit into 16 bits: 2·128·127 < 2¹⁵.
#[derive(Clone, Copy)]
pub(in crate::matvec) struct Widening;

impl Dot for Widening {
    #[inline(always)]
    fn one(self, w: &[i8], x: &[i8]) -> i32 {
        let mut acc = zero();
        for (w, x) in sixteens(w).zip(sixteens(x)) {
            // SAFETY: NEON is there, see `Widening`.
            acc = unsafe {
                let products = vmull_s8(vget_low_s8(w), vget_low_s8(x));
                vpadalq_s16(acc, vmlal_high_s8(products, w, x))
            };
        }
        sum(acc)
    }

    #[inline(always)]
    fn tile(self, w: &[i8], x: &[i8]) -> [i32; LANES] {
        // two neighbouring sums a lane, two lanes a register
        let mut halves = [zero(); LANES / 2];
        let quads = w.as_chunks::<{ 2 * QUAD }>().0.iter().zip(x.as_chunks::<{ 2 * QUAD * LANES }>().0);
        for (w, x) in quads {
            let (first, second) = x.split_at(QUAD * LANES);
            let lanes = first.as_chunks::<{ 2 * QUAD }>().0.iter().zip(second.as_chunks::<{ 2 * QUAD }>().0);
            for (half, (first, second)) in halves.iter_mut().zip(lanes) {
                // SAFETY: NEON is there, see `Widening`; `w`, `first` and `second` are eight bytes each.
                *half = unsafe {
                    let w = vreinterpret_s32_s8(vld1_s8(w.as_ptr()));
                    let (w0, w1) = (vdup_lane_s32::<0>(w), vdup_lane_s32::<1>(w));
                    let products = vmull_s8(vreinterpret_s8_s32(w0), vld1_s8(first.as_ptr()));
                    let products = vmlal_s8(products, vreinterpret_s8_s32(w1), vld1_s8(second.as_ptr()));
                    vpadalq_s16(*half, products)
                };
            }
        }
        let [a, b, c, d] = halves;
        // SAFETY: NEON is there, see `Widening`.
        unsafe { joined(vpaddq_s32(a, b), vpaddq_s32(c, d)) }
    }
}

/// `x` a register at a time.
#[inline(always)]
fn sixteens(x: &[i8]) -> impl Iterator<Item = int8x16_t> {
    // SAFETY: NEON is there, see `Widening`; a part is sixteen bytes.
    x.as_chunks::<STEP>().0.iter().map(|x| unsafe { vld1q_s8(x.as_ptr()) })
}

#[inline(always)]
fn zero() -> int32x4_t {
    // SAFETY: NEON is there, see `Widening`.
    unsafe { vdupq_n_s32(0) }
}

#[inline(always)]
fn sum(x: int32x4_t) -> i32 {
    // SAFETY: NEON is there, see `Widening`.
    unsafe { vaddvq_s32(x) }
}

#[inline(always)]
fn joined(low: int32x4_t, high: int32x4_t) -> [i32; LANES] {
    let mut all = [0; LANES];
    let (first, second) = all.split_at_mut(LANES / 2);
    // SAFETY: NEON is there, see `Widening`; the halves of `all` have room for four each.
    unsafe {
        vst1q_s32(first.as_mut_ptr(), low);
        vst1q_s32(second.as_mut_ptr(), high);
    }
    all
}
