//! LayerNorm of a residual stream that a branch joins.
//!
//! ```text
//! x, branch, bias → x + branch + bias → (… − mean) / √(var + ε) · w + b → x
//! ```

use rayon::prelude::*;

use crate::{
    simd::{Isa, mul_add, simd},
    sums::{LANES, ROWS, lane_sum},
};

/// What a LayerNorm learns, and the constant that keeps its root above 0.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// What a normalised row is multiplied by, `[d]`.
    pub weight: &'a [f32],
    /// What is then added, `[d]`.
    pub bias: &'a [f32],
    /// ε
    pub eps: f32,
}

/// `x ← norm(x + branch + branch_bias)`, mean and variance over a row (arXiv 1607.06450 eq. 3).
///
/// # Shapes
/// `x`, `branch`: [t, d], `branch_bias` and those of `norm`: `[d]`
///
/// # Panics
/// If the lengths do not fit.
pub fn join_layer_norm(x: &mut [f32], branch: &[f32], branch_bias: &[f32], norm: LayerNorm<'_>) {
    let d = norm.weight.len();
    assert_eq!((norm.bias.len(), branch_bias.len()), (d, d), "biases");
    assert!(x.len() == branch.len() && x.len().is_multiple_of(d.max(1)), "rows of {d} floats");
    let block = ROWS * d.max(1);
    let blocks = x.par_chunks_mut(block).zip(branch.par_chunks(block));
    blocks.for_each(|(x, branch)| join_layer_norm_rows(x, branch, branch_bias, norm));
}

simd! {
    /// [`join_layer_norm`] on this thread.
    fn join_layer_norm_rows<S>(x: &mut [f32], branch: &[f32], branch_bias: &[f32], norm: LayerNorm<'_>) {
        let d = norm.weight.len().max(1);
        for (x, branch) in x.chunks_exact_mut(d).zip(branch.chunks_exact(d)) {
            for ((x, branch), bias) in x.iter_mut().zip(branch).zip(branch_bias) {
                *x += branch + bias;
            }
            let mean = total(x) / d as f32;
            let inverse = 1.0 / (squares_about::<S>(x, mean) / d as f32 + norm.eps).sqrt();
            for ((x, weight), bias) in x.iter_mut().zip(norm.weight).zip(norm.bias) {
                *x = mul_add::<S>((*x - mean) * inverse, *weight, *bias);
            }
        }
    }
}

/// Σ x
#[inline(always)]
fn total(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane += x;
        }
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += x);
    lane_sum(lanes)
}

/// Σ (x − mean)²
#[inline(always)]
fn squares_about<S: Isa>(x: &[f32], mean: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = mul_add::<S>(x - mean, x - mean, *lane);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = mul_add::<S>(x - mean, x - mean, *lane);
    }
    lane_sum(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, wide},
        reference,
        simd::{Level, with_level},
        test_data::{for_thread_counts, uniform},
    };

    /// Rows far from 0, whose variance the mean must not drown.
    fn inputs(t: usize, d: usize) -> [Vec<f32>; 5] {
        let x = uniform(t * d, 1).iter().map(|x| x + 30.0).collect();
        [x, uniform(t * d, 2), uniform(d, 3), uniform(d, 4), uniform(d, 5)]
    }

    #[test]
    fn rows_agree_with_the_twin() {
        for (t, d) in [(0, 16), (1, 1), (3, 5), (2, 128), (63, 17), (64, 16), (65, 33), (3, 384)] {
            let [x, branch, branch_bias, weight, bias] = inputs(t, d);
            let norm = LayerNorm { weight: &weight, bias: &bias, eps: 1e-12 };
            let joined: Vec<f64> =
                (0..t * d).map(|i| f64::from(x[i]) + f64::from(branch[i]) + f64::from(branch_bias[i % d])).collect();
            // of one number the variance is 0, and its root is that of ε
            let eps = if d == 1 { 1.0 } else { 1e-12 };
            let slow = reference::layer_norm(&joined, &wide(&weight), &wide(&bias), eps);
            for level in Level::available() {
                let mut y = x.clone();
                with_level(level, 2, || {
                    join_layer_norm(&mut y, &branch, &branch_bias, LayerNorm { eps: eps as f32, ..norm })
                });
                assert_close(&y, &slow, 1e-4, (t, d, level));
            }
        }
    }

    #[test]
    fn every_thread_count_and_every_neighbour_gives_the_same_bits() {
        let (t, d) = (200, 48);
        let [x, branch, branch_bias, weight, bias] = inputs(t, d);
        let norm = LayerNorm { weight: &weight, bias: &bias, eps: 1e-12 };
        let results = for_thread_counts(|| {
            let mut y = x.clone();
            join_layer_norm(&mut y, &branch, &branch_bias, norm);
            y
        });
        assert!(results.iter().all(|result| *result == results[0]));
        let mut alone = x[7 * d..8 * d].to_vec();
        join_layer_norm(&mut alone, &branch[7 * d..8 * d], &branch_bias, norm);
        assert_eq!(alone, results[0][7 * d..8 * d]);
    }
}
