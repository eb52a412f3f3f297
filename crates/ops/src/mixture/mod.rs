//! u → router → top-k experts, weighted, and the shared expert → added to the residual stream

pub(crate) mod composite;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod types;

use burn::tensor::{Tensor, assert_shape};

pub use types::{MixtureWeights, MlpWeights, Routing};

use crate::dispatch::dispatch;

/// `y = residual + multiplier · w_out·(silu(gate) · up)`, `gate | up = w_in·u`.
///
/// # Shapes
/// `u`, `residual`: [b, l, d] → [b, l, d]
///
/// # Panics
/// If the shapes do not fit.
pub fn mlp(u: Tensor<3>, weights: MlpWeights, residual: Tensor<3>, multiplier: f64) -> Tensor<3> {
    let [b, l, d] = u.dims();
    weights.assert_shapes(d);
    assert_shape!(residual, [b, l, d]);
    dispatch!(flex, cube: &u => mlp(u, weights, residual, multiplier))
}

/// `y = residual + multiplier · (shared(u) + Σ_k weight_k · expert_k(u))`: each token goes through the `top_k` experts
/// with the largest router logits (ties to the lower index), weighed by a softmax over those (arXiv 2401.04088 §2.1). No
/// token is dropped.
///
/// # Shapes
/// `u`, `residual`: [b, l, d] → [b, l, d]
///
/// # Panics
/// If the shapes do not fit.
pub fn mixture(
    u: Tensor<3>,
    weights: MixtureWeights,
    top_k: usize,
    residual: Tensor<3>,
    multiplier: f64,
) -> (Tensor<3>, Routing) {
    let [b, l, d] = u.dims();
    let [e, _, f] = weights.w_out.dims();
    assert_shape!(weights.router, [e, d]);
    assert_shape!(weights.w_in, [e, 2 * f, d]);
    assert_shape!(weights.w_out, [e, d, f]);
    weights.shared.assert_shapes(d);
    assert_shape!(residual, [b, l, d]);
    dispatch!(flex, cube: &u => mixture(u, weights, top_k, residual, multiplier))
}

/// The auxiliary losses of a router, one value each:
///
/// - load balancing (Switch Transformer, arXiv 2101.03961 eq. 4–6): `e · Σ_e f_e · P_e`, f the share of assignments
///   that went to an expert (so it sums to 1 for any top_k), P the mean router probability; perfect balance gives 1;
/// - z-loss (ST-MoE, arXiv 2202.08906 eq. 5): the mean over tokens of `logsumexp(logits)²`.
pub fn router_losses(routing: &Routing) -> [Tensor<1>; 2] {
    dispatch!(flex: &routing.logits => router_losses(routing))
}
