//! router logits → the chosen experts of each token, and how they are weighed: a unit a token

use cubecl::prelude::*;

use crate::cube::array::{Array, Indices, units, zeros};

/// Where tokens go.
pub(super) struct Routed {
    /// Expert of each slot: those of a token one after the other, from the largest logit.
    pub ids: Indices,
    /// The same [t, k].
    pub ids_as_floats: Array,
    /// Softmax over the chosen [t, k].
    pub weights: Array,
    /// Experts there are.
    pub n_experts: usize,
}

pub(super) fn route(logits: &Array, top_k: usize) -> Routed {
    let (tokens, n_experts) = (logits.shape()[0], logits.width());
    let [weights, ids_as_floats] = [(); 2].map(|()| logits.beside([tokens, top_k]));
    let ids = Indices::beside(logits, tokens * top_k);
    let (count, dim) = units(logits.client(), tokens);
    choose::launch(
        logits.client(),
        count,
        dim,
        logits.arg(),
        ids.arg(),
        ids_as_floats.arg(),
        weights.arg(),
        tokens,
        n_experts,
        top_k,
    );
    Routed { ids, ids_as_floats, weights, n_experts }
}

/// The gradient of the logits [t, e] from that of the weights, beside the one that they have already.
pub(super) fn route_gradient(routed: &Routed, d_weights: &Array, d_logits: Option<Array>) -> Array {
    let (tokens, top_k) = (routed.weights.shape()[0], routed.weights.width());
    let d_logits = d_logits.unwrap_or_else(|| zeros(&d_weights.beside([tokens, routed.n_experts]))).own();
    let (count, dim) = units(d_weights.client(), tokens);
    choice_gradient::launch(
        d_weights.client(),
        count,
        dim,
        routed.ids.arg(),
        routed.weights.arg(),
        d_weights.arg(),
        d_logits.arg(),
        tokens,
        routed.n_experts,
        top_k,
    );
    d_logits
}

#[cube(launch)]
fn choose(
    logits: &[f32],
    ids: &mut [i32],
    ids_as_floats: &mut [f32],
    weights: &mut [f32],
    tokens: usize,
    #[comptime] n_experts: usize,
    #[comptime] top_k: usize,
) {
    let token = ABSOLUTE_POS;
    if token < tokens {
        let first = token * top_k;
        for rank in 0..top_k {
            let mut best = 0usize;
            let mut found = false;
            for expert in 0..n_experts {
                let mut free = true;
                for before in 0..rank {
                    if ids[first + before] == expert as i32 {
                        free = false;
                    }
                }
                if free && (!found || logits[token * n_experts + expert] > logits[token * n_experts + best]) {
                    best = expert;
                    found = true;
                }
            }
            ids[first + rank] = best as i32;
            ids_as_floats[first + rank] = best as f32;
        }
        let largest = logits[token * n_experts + ids[first] as usize];
        let mut sum = 0.0f32;
        for rank in 0..top_k {
            sum += (logits[token * n_experts + ids[first + rank] as usize] - largest).exp();
        }
        for rank in 0..top_k {
            let logit = logits[token * n_experts + ids[first + rank] as usize];
            weights[first + rank] = (logit - largest).exp() / sum;
        }
    }
}

#[cube(launch)]
fn choice_gradient(
    ids: &[i32],
    weights: &[f32],
    d_weights: &[f32],
    d_logits: &mut [f32],
    tokens: usize,
    #[comptime] n_experts: usize,
    #[comptime] top_k: usize,
) {
    let token = ABSOLUTE_POS;
    if token < tokens {
        let first = token * top_k;
        let mut mean = 0.0f32;
        for rank in 0..top_k {
            mean += weights[first + rank] * d_weights[first + rank];
        }
        for rank in 0..top_k {
            let at = token * n_experts + ids[first + rank] as usize;
            d_logits[at] += weights[first + rank] * (d_weights[first + rank] - mean);
        }
    }
}
