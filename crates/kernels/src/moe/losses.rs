//! Auxiliary losses of the router, without the probabilities in memory.
//!
//! ```text
//! logits, tokens per expert → Σ_t Σ_e share_e·p_te,  Σ_t logsumexp(logits_t)²
//! ```

use rayon::prelude::*;

use super::route::load_tile;
use crate::{
    scratch,
    simd::{exp, ln, mul_add, simd},
    sums::LANES,
};

/// Tokens of one task.
const BLOCK: usize = 512;

/// What the trainer adds, times a coefficient each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouterLosses {
    /// `e · Σ_e share_e · P_e` (Switch Transformer, arXiv 2101.03961 eq. 4–6); share: of all assignments, P: the mean
    /// probability.
    pub load_balance: f32,
    /// Mean of `logsumexp(logits)²` (ST-MoE, arXiv 2202.08906 eq. 5).
    pub z: f32,
}

/// Both losses of `logits` [t, e], of which expert e got `tokens_per_expert[e]` assignments.
///
/// # Panics
/// If the logits are not whole rows.
pub fn router_losses(logits: &[f32], tokens_per_expert: &[usize]) -> RouterLosses {
    let (tokens, n_experts) = assert_rows(logits, tokens_per_expert);
    let shares = shares(tokens_per_expert);
    let blocks = logits.par_chunks(BLOCK * n_experts);
    let sums: Vec<[f64; 2]> =
        blocks.map(|logits| scratch::with(LANES * n_experts, |tile| sum_rows(logits, &shares, tile))).collect();
    let mean = |i: usize| sums.iter().map(|sums| sums[i]).sum::<f64>() / tokens.max(1) as f64;
    RouterLosses { load_balance: (mean(0) * n_experts as f64) as f32, z: mean(1) as f32 }
}

/// `d_logits` [t, e] of [`router_losses`] for the gradients `d_losses` of the two.
///
/// # Panics
/// As [`router_losses`], or if `d_logits` differs in length.
pub fn router_losses_backward(
    logits: &[f32],
    tokens_per_expert: &[usize],
    d_losses: RouterLosses,
    d_logits: &mut [f32],
) {
    let (tokens, n_experts) = assert_rows(logits, tokens_per_expert);
    assert_eq!(d_logits.len(), logits.len(), "d_logits");
    let shares = shares(tokens_per_expert);
    let scale = 1.0 / tokens.max(1) as f32;
    let d_balance = d_losses.load_balance * n_experts as f32 * scale;
    let d_z = d_losses.z * 2.0 * scale;
    let blocks = logits.par_chunks(BLOCK * n_experts).zip(d_logits.par_chunks_mut(BLOCK * n_experts));
    blocks.for_each(|(logits, d_logits)| {
        scratch::with(LANES * n_experts, |tile| gradient_rows(logits, &shares, d_balance, d_z, tile, d_logits));
    });
}

fn assert_rows(logits: &[f32], tokens_per_expert: &[usize]) -> (usize, usize) {
    let n_experts = tokens_per_expert.len();
    assert!(n_experts > 0 && logits.len().is_multiple_of(n_experts), "{} logits of {n_experts} experts", logits.len());
    (logits.len() / n_experts, n_experts)
}

/// The part of all assignments that each expert got.
fn shares(tokens_per_expert: &[usize]) -> Vec<f32> {
    let total = tokens_per_expert.iter().sum::<usize>().max(1);
    tokens_per_expert.iter().map(|count| *count as f32 / total as f32).collect()
}

simd! {
    /// Σ_t Σ_e share_e·p_te and Σ_t logsumexp². `tile`: [e, 16]
    fn sum_rows<S>(logits: &[f32], shares: &[f32], tile: &mut [f32]) -> [f64; 2] {
        let n_experts = shares.len();
        let (tile, _) = tile.as_chunks_mut::<LANES>();
        let mut sums = [0.0; 2];
        for logits in logits.chunks(LANES * n_experts) {
            load_tile(logits, n_experts, tile);
            let (balance, log_sum_exp) = softmax_tile::<S>(tile, shares);
            for lane in 0..logits.len() / n_experts {
                sums[0] += f64::from(balance[lane]);
                sums[1] += f64::from(log_sum_exp[lane]) * f64::from(log_sum_exp[lane]);
            }
        }
        sums
    }
}

simd! {
    /// d_logit = p·(d_balance·(share − Σ share·p) + d_z·logsumexp). `tile`: [e, 16]
    fn gradient_rows<S>(
        logits: &[f32], shares: &[f32], d_balance: f32, d_z: f32, tile: &mut [f32], d_logits: &mut [f32],
    ) {
        let n_experts = shares.len();
        let (tile, _) = tile.as_chunks_mut::<LANES>();
        for (logits, d_logits) in logits.chunks(LANES * n_experts).zip(d_logits.chunks_mut(LANES * n_experts)) {
            load_tile(logits, n_experts, tile);
            let (balance, log_sum_exp) = softmax_tile::<S>(tile, shares);
            for (tile, share) in tile.iter_mut().zip(shares) {
                for lane in 0..LANES {
                    tile[lane] *= d_balance * (share - balance[lane]) + d_z * log_sum_exp[lane];
                }
            }
            for (lane, row) in d_logits.chunks_exact_mut(n_experts).enumerate() {
                for (d_logit, tile) in row.iter_mut().zip(&*tile) {
                    *d_logit = tile[lane];
                }
            }
        }
    }
}

/// Turn the logits of sixteen tokens into probabilities; returns Σ share·p and logsumexp of each.
#[inline(always)]
fn softmax_tile<S: crate::simd::Isa>(tile: &mut [[f32; LANES]], shares: &[f32]) -> ([f32; LANES], [f32; LANES]) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    for logits in &*tile {
        for lane in 0..LANES {
            largest[lane] = if logits[lane] > largest[lane] { logits[lane] } else { largest[lane] };
        }
    }
    let mut sum = [0.0; LANES];
    for logits in &mut *tile {
        for lane in 0..LANES {
            logits[lane] = exp::<S>(logits[lane] - largest[lane]);
            sum[lane] += logits[lane];
        }
    }
    let mut balance = [0.0; LANES];
    let mut log_sum_exp = [0.0; LANES];
    for lane in 0..LANES {
        log_sum_exp[lane] = ln::<S>(sum[lane]) + largest[lane];
    }
    for (p, share) in tile.iter_mut().zip(shares) {
        for lane in 0..LANES {
            p[lane] /= sum[lane];
            balance[lane] = mul_add::<S>(*share, p[lane], balance[lane]);
        }
    }
    (balance, log_sum_exp)
}
