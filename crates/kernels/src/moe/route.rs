//! Which experts a token goes to, and with which weights.
//!
//! ```text
//! u ─router→ logits → the top_k largest → softmax over them → weights
//! ```
//!
//! Logits of sixteen tokens lie side by side, expert by expert, so that choosing is the same few instructions for all
//! of them, without a branch.

use rayon::prelude::*;

use crate::{
    gemm::{Matrix, MatrixMut, Packed, Write, gemm, gemm_packed},
    scratch,
    simd::{exp, simd},
    stored::Stored,
    sums::{LANES, over_tasks},
};

/// Tokens that one product of a task computes the logits of.
const BLOCK: usize = 96;

/// Tokens of a backward task: a partial gradient of the router for each.
const BACKWARD_TASK: usize = 4 * BLOCK;

/// Choose the `top_k` experts with the largest logits (ties to the lower index) and weigh them by a softmax over the
/// chosen (arXiv 2401.04088 §2.1).
///
/// Logits that are not numbers still give `top_k` different ids; their weights are NaN.
///
/// # Shapes
/// `u`: [t, d], `router`: [e, d], `logits`: [t, e], `expert_ids`, `expert_weights`: [t, k] from the largest logit
///
/// # Panics
/// If a length does not fit, or there are fewer experts than `top_k`.
pub fn route(
    u: &[f32],
    router: &[f32],
    n_experts: usize,
    top_k: usize,
    logits: &mut [f32],
    expert_ids: &mut [u32],
    expert_weights: &mut [f32],
) {
    let (tokens, d) = assert_shapes(u.len(), router, n_experts, top_k, expert_weights.len());
    assert_eq!((logits.len(), expert_ids.len()), (tokens * n_experts, tokens * top_k), "logits and ids");
    scratch::with(Packed::len(d, n_experts), |buffer| {
        let router = Packed::pack(Matrix::new(router, n_experts, d).t(), buffer);
        let chosen = expert_ids.par_chunks_mut(BLOCK * top_k).zip(expert_weights.par_chunks_mut(BLOCK * top_k));
        u.par_chunks(BLOCK * d).zip(logits.par_chunks_mut(BLOCK * n_experts)).zip(chosen).for_each(
            |((u, logits), (ids, weights))| {
                let rows = u.len() / d;
                gemm_packed(Matrix::new(u, rows, d), router, MatrixMut::new(logits, rows, n_experts), Write::Set);
                choose(logits, n_experts, top_k, ids, weights);
            },
        );
    });
}

fn assert_shapes(u_len: usize, router: &[f32], n_experts: usize, top_k: usize, chosen: usize) -> (usize, usize) {
    assert!((1..=n_experts).contains(&top_k), "{top_k} of {n_experts} experts");
    let d = router.len() / n_experts;
    assert!(d > 0 && router.len() == n_experts * d, "a router of {} floats for {n_experts} experts", router.len());
    let tokens = u_len / d;
    assert_eq!((u_len, chosen), (tokens * d, tokens * top_k), "u of rows of {d}, {top_k} experts a token");
    (tokens, d)
}

/// The ids and weights [rows, k] of `logits` [rows, e].
pub(super) fn choose(logits: &[f32], n_experts: usize, top_k: usize, ids: &mut [u32], weights: &mut [f32]) {
    scratch::with(LANES * n_experts, |tile| choose_rows(logits, n_experts, top_k, tile, ids, weights));
}

simd! {
    /// The ids and weights of rows of logits. `tile`: [e, 16]
    fn choose_rows<S>(
        logits: &[f32], n_experts: usize, top_k: usize, tile: &mut [f32], ids: &mut [u32], weights: &mut [f32],
    ) {
        let (tile, _) = tile.as_chunks_mut::<LANES>();
        let rows = logits.chunks(LANES * n_experts);
        let chosen = ids.chunks_mut(LANES * top_k).zip(weights.chunks_mut(LANES * top_k));
        for (logits, (ids, weights)) in rows.zip(chosen) {
            load_tile(logits, n_experts, tile);
            // an expert follows (previous key, previous id) if it was not chosen yet
            let mut previous = ([i32::MAX; LANES], [-1i32; LANES]);
            let mut largest = [0.0; LANES];
            let mut sum = [0.0; LANES];
            for rank in 0..top_k {
                let best = next_best(tile, &previous);
                for lane in 0..LANES {
                    let logit = f32::from_bits(from_key(best.0[lane]));
                    largest[lane] = if rank == 0 { logit } else { largest[lane] };
                    let weight = exp::<S>(logit - largest[lane]);
                    sum[lane] += weight;
                    if let (Some(id), Some(w)) = (ids.get_mut(lane * top_k + rank), weights.get_mut(lane * top_k + rank)) {
                        *id = best.1[lane] as u32;
                        *w = weight;
                    }
                }
                previous = best;
            }
            for (weights, sum) in weights.chunks_exact_mut(top_k).zip(sum) {
                for weight in weights {
                    *weight /= sum;
                }
            }
        }
    }
}

/// Up to sixteen rows of logits, expert by expert. Lanes beyond the rows are 0.
#[inline(always)]
pub(super) fn load_tile(logits: &[f32], n_experts: usize, tile: &mut [[f32; LANES]]) {
    for (e, tile) in tile.iter_mut().enumerate().take(n_experts) {
        *tile = [0.0; LANES];
        for (lane, row) in tile.iter_mut().zip(logits.chunks_exact(n_experts)) {
            *lane = row[e];
        }
    }
}

/// In each lane the largest key, and the lowest id that has it, among those that follow `previous`.
#[inline(always)]
fn next_best(tile: &[[f32; LANES]], previous: &([i32; LANES], [i32; LANES])) -> ([i32; LANES], [i32; LANES]) {
    const NONE: i32 = -1;
    let mut best = ([i32::MIN; LANES], [NONE; LANES]);
    for (id, logits) in tile.iter().enumerate() {
        let id = id as i32;
        for (lane, logit) in logits.iter().enumerate() {
            let key = key(*logit);
            let (previous_key, previous_id) = (previous.0[lane], previous.1[lane]);
            let left = (key < previous_key) | ((key == previous_key) & (id > previous_id));
            let better = left & ((key > best.0[lane]) | (best.1[lane] == NONE));
            best.0[lane] = if better { key } else { best.0[lane] };
            best.1[lane] = if better { id } else { best.1[lane] };
        }
    }
    best
}

/// Integers in the order of the floats: −0 equals 0, and NaNs lie beyond the infinities.
#[inline(always)]
fn key(x: f32) -> i32 {
    let bits = (x + 0.0).to_bits() as i32;
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

/// The bits of the float of a [`key`].
#[inline(always)]
fn from_key(key: i32) -> u32 {
    (key ^ ((key >> 31) as u32 >> 1) as i32) as u32
}

/// Gradients of [`route`]: adds to `d_u`, sets `d_router`.
///
/// d_logit of a chosen expert is weight·(d_weight − Σ weight·d_weight), plus what `d_logits`, if there are auxiliary
/// losses, says for every expert.
///
/// # Shapes
/// `u`, `d_u`: [t, d], `router`, `d_router`: [e, d], `expert_ids`, `expert_weights`, `d_expert_weights`: [t, k],
/// `d_logits`: [t, e]
///
/// # Panics
/// If a length does not fit, or an id is not below `n_experts`.
#[expect(clippy::too_many_arguments, reason = "what the forward pass read and wrote, and the gradients of both")]
pub fn route_backward(
    u: Stored<'_>,
    router: &[f32],
    n_experts: usize,
    top_k: usize,
    expert_ids: &[u32],
    expert_weights: &[f32],
    d_expert_weights: &[f32],
    d_logits: Option<&[f32]>,
    d_u: &mut [f32],
    d_router: &mut [f32],
) {
    let (tokens, d) = assert_shapes(u.len(), router, n_experts, top_k, expert_weights.len());
    assert_eq!((expert_ids.len(), d_expert_weights.len()), (tokens * top_k, tokens * top_k), "ids and d_weights");
    assert_eq!((d_u.len(), d_router.len()), (u.len(), router.len()), "d_u and d_router");
    if let Some(d_logits) = d_logits {
        assert_eq!(d_logits.len(), tokens * n_experts, "d_logits");
    }
    over_tasks(tokens.div_ceil(BACKWARD_TASK), d_router, |partials| {
        let tasks = d_u.par_chunks_mut(BACKWARD_TASK * d).zip(partials.par_chunks_mut(n_experts * d)).enumerate();
        tasks.for_each(|(task, (d_u, d_router))| {
            for (block, d_u) in d_u.chunks_mut(BLOCK * d).enumerate() {
                let (first, rows) = (task * BACKWARD_TASK + block * BLOCK, d_u.len() / d);
                let chosen = first * top_k..(first + rows) * top_k;
                let u = u.range(first * d..(first + rows) * d);
                scratch::with_parts([rows * n_experts, u.buffer_len(rows * d)], |[d_block, u_buffer]| {
                    match d_logits {
                        Some(d_logits) => d_block.copy_from_slice(&d_logits[first * n_experts..][..rows * n_experts]),
                        None => d_block.fill(0.0),
                    }
                    let weights = (&expert_weights[chosen.clone()], &d_expert_weights[chosen.clone()]);
                    add_softmax_gradient(&expert_ids[chosen], weights, top_k, n_experts, d_block);
                    let d_block = Matrix::new(d_block, rows, n_experts);
                    let router = Matrix::new(router, n_experts, d);
                    gemm(d_block, router, MatrixMut::new(d_u, rows, d), Write::Add);
                    let u = Matrix::new(u.read(u_buffer), rows, d);
                    gemm(d_block.t(), u, MatrixMut::new(d_router, n_experts, d), Write::Add);
                });
            }
        });
    });
}

/// Gradient of the softmax over the chosen, added to `d_logits` [rows, e].
fn add_softmax_gradient(
    ids: &[u32],
    (weights, d_weights): (&[f32], &[f32]),
    top_k: usize,
    n_experts: usize,
    d_logits: &mut [f32],
) {
    let chosen = ids.chunks_exact(top_k).zip(weights.chunks_exact(top_k)).zip(d_weights.chunks_exact(top_k));
    for (d_logits, ((ids, weights), d_weights)) in d_logits.chunks_exact_mut(n_experts).zip(chosen) {
        let mean: f32 = weights.iter().zip(d_weights).map(|(w, d_w)| w * d_w).sum();
        for ((id, w), d_w) in ids.iter().zip(weights).zip(d_weights) {
            d_logits[*id as usize] += w * (d_w - mean);
        }
    }
}
