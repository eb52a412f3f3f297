//! wasm32 built with simd128: sixteen codes as two registers of 16 bits, `i32x4.dot_i16x8_s` of these.
//!
//! ```text
//! one    16 codes · 16 codes                  → 4 sums, joined at the end
//! tile   4 codes of W, twice · 4 codes of each of two vectors → 2 neighbouring sums a vector
//! ```
//!
//! There is no asking for features at run time: a module that uses an instruction which is not there does not load.

use std::arch::wasm32::*;

use super::Dot;
use crate::matvec::{LANES, QUAD};

/// Codes of a register.
const STEP: usize = 16;

/// Dot products of pairs of 16 bits.
#[derive(Clone, Copy)]
pub(in crate::matvec) struct Pairs;

impl Dot for Pairs {
    #[inline(always)]
    fn one(self, w: &[i8], x: &[i8]) -> i32 {
        let mut acc = i32x4_splat(0);
        for (w, x) in w.as_chunks::<STEP>().0.iter().zip(x.as_chunks::<STEP>().0) {
            // SAFETY: both parts are sixteen bytes.
            let (w, x) = unsafe { (v128_load(w.as_ptr().cast()), v128_load(x.as_ptr().cast())) };
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(w), i16x8_extend_low_i8x16(x));
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(w), i16x8_extend_high_i8x16(x));
            acc = i32x4_add(acc, i32x4_add(low, high));
        }
        let acc = i32x4_add(acc, i64x2_shuffle::<1, 0>(acc, acc));
        i32x4_extract_lane::<0>(acc) + i32x4_extract_lane::<1>(acc)
    }

    #[inline(always)]
    fn tile(self, w: &[i8], x: &[i8]) -> [i32; LANES] {
        // two neighbouring sums a lane, two lanes a register
        let mut halves = [i32x4_splat(0); LANES / 2];
        for (w, x) in w.as_chunks::<QUAD>().0.iter().zip(x.as_chunks::<{ QUAD * LANES }>().0) {
            let w = i16x8_extend_low_i8x16(i32x4_splat(i32::from_ne_bytes(w.map(i8::cast_unsigned))));
            for (half, x) in halves.iter_mut().zip(x.as_chunks::<{ 2 * QUAD }>().0) {
                // SAFETY: the part is eight bytes.
                let x = unsafe { i16x8_load_extend_i8x8(x.as_ptr()) };
                *half = i32x4_add(*half, i32x4_dot_i16x8(w, x));
            }
        }
        let [a, b, c, d] = halves;
        let mut sums = [0; LANES];
        for (sums, (a, b)) in sums.chunks_exact_mut(LANES / 2).zip([(a, b), (c, d)]) {
            let joined = i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
            // SAFETY: `sums` has room for four.
            unsafe { v128_store(sums.as_mut_ptr().cast(), joined) };
        }
        sums
    }
}
