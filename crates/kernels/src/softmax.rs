//! Softmax over the rows of a matrix of [`COLUMNS`] columns: every column is a distribution of its own.
//!
//! ```text
//! z [n, COLUMNS] → max of each column → exp(z − max), sum of each column
//! ```
//!
//! What is compared stands in rows and who compares stands side by side in vector lanes (tokens for the cross-entropy,
//! queries for attention), so that nothing is ever summed across lanes.

use crate::simd::{Isa, ROUND, mul_add, simd};

/// Columns: two AVX-512 registers, and a panel of [`gemm`](crate::gemm).
pub(crate) const COLUMNS: usize = 32;

/// Exponents below this count as −∞: e⁻⁶⁰ ≈ 1e-26 changes no sum in f32, and its products with gradients stay normal.
const NEGLIGIBLE: f32 = -60.0;

/// Rows that are summed before their sum joins the others, which keeps rounding to that of a short sum.
const RUN: usize = 64;

/// eˣ to 2 ulp for x ≤ 1, or 0 where that is negligible beside 1; exactly 1 for 0.
///
/// As [`exp`](crate::simd::exp), but without the cases that cannot arise: x = n·ln 2 + r, eʳ ≈ 1 + r + c₂r² + … + c₅r⁵
/// by the polynomial of least relative error on |r| ≤ ln 2 / 2, 1.05e-7 (Remez), and n added to the exponent's bits. One
/// fused n·ln 2 is enough: its error grows with −x, but the weight's share of any sum shrinks faster.
#[inline(always)]
pub(crate) fn weight<S: Isa>(x: f32) -> f32 {
    // n·LN_2_HIGH is exact
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let rounded = mul_add::<S>(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = if S::FMA { n.mul_add(-std::f32::consts::LN_2, x) } else { (x - n * LN_2_HIGH) - n * LN_2_LOW };
    let mut p = 0.008_312_501;
    for c in [0.041_890_33, 0.166_671_16, 0.499_992_3, 1.0, 1.0] {
        p = mul_add::<S>(p, r, c);
    }
    let y = f32::from_bits(p.to_bits().wrapping_add(rounded.to_bits() << 23));
    if x < NEGLIGIBLE { 0.0 } else { y }
}

simd! {
    /// The largest of each column, and of what it was before.
    pub(crate) fn max<S>(z: &[f32], before: &[f32; COLUMNS]) -> [f32; COLUMNS] {
        let mut max = *before;
        for row in z.as_chunks::<COLUMNS>().0 {
            for (max, z) in max.iter_mut().zip(row) {
                *max = if *z > *max { *z } else { *max };
            }
        }
        max
    }
}

simd! {
    /// exp(z − max) of one row.
    pub(crate) fn weights<S>(z: &[f32; COLUMNS], max: &[f32; COLUMNS]) -> [f32; COLUMNS] {
        // not by a closure, which would be compiled for the base set
        let mut weights = [0.0; COLUMNS];
        for ((weight, z), max) in weights.iter_mut().zip(z).zip(max) {
            *weight = self::weight::<S>(z - max);
        }
        weights
    }
}

simd! {
    /// z ← exp(z − max), and the sum of each column.
    pub(crate) fn exp_and_sum<S>(z: &mut [f32], max: &[f32; COLUMNS]) -> [f32; COLUMNS] {
        exp_sum_and::<S>(z, max, |_, _| ())
    }
}

/// [`exp_and_sum`] that shows each row to `also` when it is done.
#[inline(always)]
pub(crate) fn exp_sum_and<S: Isa>(
    z: &mut [f32],
    max: &[f32; COLUMNS],
    mut also: impl FnMut(usize, &[f32; COLUMNS]),
) -> [f32; COLUMNS] {
    let mut sums = [0.0; COLUMNS];
    for (run, rows) in z.as_chunks_mut::<COLUMNS>().0.chunks_mut(RUN).enumerate() {
        let mut part = [0.0; COLUMNS];
        for (row, z) in rows.iter_mut().enumerate() {
            for (lane, z) in z.iter_mut().enumerate() {
                *z = weight::<S>(*z - max[lane]);
                part[lane] += *z;
            }
            also(run * RUN + row, z);
        }
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, with_level};

    #[test]
    fn weights_are_exact_to_two_ulp() {
        for level in Level::available() {
            for i in 0..60_000 / COLUMNS {
                let x: [f32; COLUMNS] = std::array::from_fn(|lane| -((i * COLUMNS + lane) as f32) * 1e-3 + 1e-3);
                let found = with_level(level, 1, || weights(&x, &[0.0; COLUMNS]));
                for (x, found) in x.iter().zip(found) {
                    let exact = f64::from(*x).exp();
                    // the second from the one product n·ln 2
                    let allowed = 2.0 * f64::from(f32::EPSILON) + 3e-9 * f64::from(x.abs());
                    assert!((f64::from(found) / exact - 1.0).abs() < allowed, "e^{x} is {found} at {level:?}");
                }
            }
        }
    }

    #[test]
    fn weights_end_cleanly() {
        let mut x = [0.0; COLUMNS];
        x[..6].copy_from_slice(&[-60.5, -200.0, -1e30, f32::NEG_INFINITY, -0.0, f32::NAN]);
        for level in Level::available() {
            let found = with_level(level, 1, || weights(&x, &[0.0; COLUMNS]));
            assert_eq!(found[..5], [0.0, 0.0, 0.0, 0.0, 1.0], "{level:?}");
            assert!(found[5].is_nan() && found[6] == 1.0, "{level:?}");
        }
    }
}
