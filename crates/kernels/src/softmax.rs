//! Softmax over the rows of a matrix of [`LANES`] columns: every column is a distribution of its own.
//!
//! ```text
//! z [n, LANES] → max of each column → exp(z − max), sum of each column
//! ```
//!
//! What is compared stands in rows and who compares stands side by side in vector lanes (tokens for the cross-entropy,
//! queries for attention), so that nothing is ever summed across lanes.

use crate::simd::{Isa, exp, simd};

/// Columns: two AVX-512 registers, and a panel of [`gemm`](crate::gemm).
pub(crate) const LANES: usize = 32;

/// Exponents below this count as −∞: e⁻⁶⁰ ≈ 1e-26 changes no sum in f32, and its products with gradients stay normal.
const NEGLIGIBLE: f32 = -60.0;

/// Rows that are summed before their sum joins the others, which keeps rounding to that of a short sum.
const RUN: usize = 64;

/// eˣ for x ≤ 0, or 0 where that is negligible beside 1.
#[inline(always)]
pub(crate) fn weight<S: Isa>(x: f32) -> f32 {
    if x < NEGLIGIBLE { 0.0 } else { exp::<S>(x) }
}

simd! {
    /// The largest of each column, and of what it was before.
    pub(crate) fn max<S>(z: &[f32], before: &[f32; LANES]) -> [f32; LANES] {
        let mut max = *before;
        for row in z.as_chunks::<LANES>().0 {
            for (max, z) in max.iter_mut().zip(row) {
                *max = if *z > *max { *z } else { *max };
            }
        }
        max
    }
}

simd! {
    /// exp(z − max) of one row.
    pub(crate) fn weights<S>(z: &[f32; LANES], max: &[f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| weight::<S>(z[lane] - max[lane]))
    }
}

simd! {
    /// z ← exp(z − max), and the sum of each column.
    pub(crate) fn exp_and_sum<S>(z: &mut [f32], max: &[f32; LANES]) -> [f32; LANES] {
        exp_sum_and::<S>(z, max, |_, _| ())
    }
}

/// [`exp_and_sum`] that shows each row to `also` when it is done.
#[inline(always)]
pub(crate) fn exp_sum_and<S: Isa>(
    z: &mut [f32],
    max: &[f32; LANES],
    mut also: impl FnMut(usize, &[f32; LANES]),
) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for (run, rows) in z.as_chunks_mut::<LANES>().0.chunks_mut(RUN).enumerate() {
        let mut part = [0.0; LANES];
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
