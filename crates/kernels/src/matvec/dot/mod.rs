//! Σ codes of W · codes of x, by what the processor has for it; the sums are exact, so all give the same.
//!
//! ```text
//! one    16 codes × 16 codes → 4 sums, joined at the end
//! tile   4 codes of W × 4 codes of each of 8 vectors → 8 sums
//!
//! aarch64 with DotProd   one instruction for sixteen products, in fours     [`neon::DotProd`]
//! aarch64                products in 16 bits, added in pairs to 32          [`neon::Widening`]
//! wasm32 with simd128    codes in 16 bits, dot products of pairs            [`simd128::Pairs`]
//! otherwise              [`Plain`]; kernels for x86-64 have their own
//! ```

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "instructions that were detected, on slices whose length is checked")]
pub(super) mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[expect(unsafe_code, reason = "loads from slices whose length is checked")]
pub(super) mod simd128;

use super::{LANES, QUAD};

// what the build target guarantees

#[cfg(target_arch = "aarch64")]
pub(super) use neon::Widening as Guaranteed;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(super) use simd128::Pairs as Guaranteed;

#[cfg(not(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128"))))]
pub(super) use Plain as Guaranteed;

/// A way to multiply codes. Who has one may use it.
pub(super) trait Dot: Copy {
    /// Σ codes of `w` · codes of `x`, where |x| ≤ 127 and there are sixteens of them.
    fn one(self, w: &[i8], x: &[i8]) -> i32;

    /// The same of each of the interleaved vectors of a tile.
    fn tile(self, w: &[i8], x: &[i8]) -> [i32; LANES];

    /// The same of `N` vectors: one, or a tile.
    #[inline(always)]
    fn dot<const N: usize>(self, w: &[i8], x: &[i8]) -> [i32; N] {
        const { assert!(N == 1 || N == LANES) };
        if N == 1 {
            return [self.one(w, x); N];
        }
        let sums = self.tile(w, x);
        std::array::from_fn(|lane| sums[lane])
    }
}

/// Loops for the compiler.
#[allow(dead_code, reason = "where there is something better, tests compare it with this")]
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Dot for Plain {
    #[inline(always)]
    fn one(self, w: &[i8], x: &[i8]) -> i32 {
        w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum()
    }

    #[inline(always)]
    fn tile(self, w: &[i8], x: &[i8]) -> [i32; LANES] {
        let mut sums = [0; LANES];
        for (w, x) in w.as_chunks::<QUAD>().0.iter().zip(x.as_chunks::<{ QUAD * LANES }>().0) {
            for (sum, x) in sums.iter_mut().zip(x.as_chunks::<QUAD>().0) {
                *sum += self.one(w, x);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of all values, a function of `seed`.
    fn codes(len: usize, seed: usize) -> Vec<i8> {
        (0..len).map(|i| ((i * i + i / 7 + seed) * 37 % 256) as u8 as i8).collect()
    }

    /// `dot` of codes of any size, and of those whose products are largest, is the sum of products.
    fn check(name: &str, dot: impl Dot) {
        for len in [16, 32] {
            for seed in 0..64 {
                let extreme = |sign: i8| vec![sign * 127; len * LANES];
                for x in [codes(len * LANES, seed), extreme(1), extreme(-1)] {
                    let x: Vec<i8> = x.into_iter().map(|x| x.max(-127)).collect();
                    for w in [codes(len, 3 * seed), vec![-128; len], vec![127; len]] {
                        assert_eq!(dot.one(&w, &x[..len]), Plain.one(&w, &x[..len]), "{name} {w:?} {x:?}");
                        assert_eq!(dot.tile(&w, &x), Plain.tile(&w, &x), "{name} {w:?} {x:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_way_gives_the_sum_of_products() {
        let by_definition = |w: &[i8], x: &[i8], lane: usize| -> i32 {
            (0..w.len()).map(|k| i32::from(w[k]) * i32::from(x[k / QUAD * QUAD * LANES + lane * QUAD + k % QUAD])).sum()
        };
        let (w, x) = (codes(32, 1), codes(32 * LANES, 2));
        assert_eq!(Plain.tile(&w, &x), std::array::from_fn(|lane| by_definition(&w, &x, lane)));
        check("guaranteed", Guaranteed);
        #[cfg(target_arch = "aarch64")]
        if let Some(dot) = neon::DotProd::in_use() {
            check("dotprod", dot);
        }
    }
}
