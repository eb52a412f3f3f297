//! u → router → top-k experts, weighted, and the shared expert → sum
//!
//! This composite runs every expert on every token and gives the experts that a token was not sent to the weight zero:
//! the same function as sending each token to its k experts (dropless), with shapes that do not depend on the data.

use burn::tensor::{
    Int, Tensor,
    activation::{silu, softmax},
};

use super::types::{MixtureWeights, MlpWeights, Routing};
use crate::linear::composite::{linear, linear_residual};

/// Where the router sends each token, and the weights of the experts: zero for those that were not chosen.
///
/// # Shapes
/// `u_td`: [t, d], `router_ed`: [e, d] → (routing, weights [t, e])
pub fn route(u_td: Tensor<2>, router_ed: Tensor<2>, top_k: usize) -> (Routing, Tensor<2>) {
    let logits = linear(u_td, router_ed);
    let [t, e] = logits.dims();
    let all_ids = Tensor::<1, Int>::arange(0..e as i64, &logits.device()).unsqueeze::<2>().expand([t, e]);
    let mut left = logits.clone().detach();
    let mut expert_ids = Vec::with_capacity(top_k);
    for _ in 0..top_k {
        let best = left.clone().argmax(1);
        expert_ids.push(best.clone());
        left = left.mask_fill(best.expand([t, e]).equal(all_ids.clone()), f32::NEG_INFINITY);
    }
    let not_chosen = left.equal_elem(f32::NEG_INFINITY).bool_not();
    let weights = softmax(logits.clone().mask_fill(not_chosen, f32::NEG_INFINITY), 1);
    (Routing { logits, expert_ids: Tensor::cat(expert_ids, 1) }, weights)
}

/// The weighted sum of the experts' outputs: `Σ_e weight_e · w_out_e · swiglu(w_in_e · u)`.
///
/// # Shapes
/// `u_td`: [t, d], `weights_te`: [t, e], `w_in`: [e, 2f, d], `w_out`: [e, d, f] → [t, d]
pub fn experts(u_td: Tensor<2>, weights_te: Tensor<2>, w_in: Tensor<3>, w_out: Tensor<3>) -> Tensor<2> {
    let [t, _] = u_td.dims();
    let [e, d, f] = w_out.dims();
    let gate_up = linear(u_td, w_in.reshape([e * 2 * f, d])).reshape([t, e, 2 * f]);
    let hidden = swiglu(gate_up) * weights_te.unsqueeze_dim::<3>(2);
    // the sum over experts happens inside one product over (e, f)
    linear(hidden.reshape([t, e * f]), w_out.swap_dims(0, 1).reshape([d, e * f]))
}

/// SwiGLU (arXiv 2002.05202) on a fused projection whose first half is the gate.
///
/// # Shapes
/// `gate_up`: [.., 2·f] → [.., f]
pub fn swiglu<const D: usize>(gate_up: Tensor<D>) -> Tensor<D> {
    let f = gate_up.dims()[D - 1] / 2;
    silu(gate_up.clone().narrow(D - 1, 0, f)) * gate_up.narrow(D - 1, f, f)
}

/// Composite of [`crate::mlp`].
///
/// # Shapes
/// `u`, `residual`: [b, l, d] → [b, l, d]
pub fn mlp(u: Tensor<3>, weights: MlpWeights, residual: Tensor<3>, multiplier: f64) -> Tensor<3> {
    linear_residual(swiglu(linear(u, weights.w_in)), weights.w_out, residual, multiplier)
}

/// Composite of [`crate::mixture()`].
///
/// # Shapes
/// `u`, `residual`: [b, l, d] → [b, l, d]
pub fn mixture(
    u: Tensor<3>,
    weights: MixtureWeights,
    top_k: usize,
    residual: Tensor<3>,
    multiplier: f64,
) -> (Tensor<3>, Routing) {
    let dims @ [b, l, d] = u.dims();
    let u_td = u.clone().reshape([b * l, d]);
    let (routing, expert_weights) = route(u_td.clone(), weights.router, top_k);
    let routed = experts(u_td, expert_weights, weights.w_in, weights.w_out).reshape(dims);
    let residual = residual + routed.mul_scalar(multiplier);
    (mlp(u, weights.shared, residual, multiplier), routing)
}

/// Composite of [`crate::router_losses`].
pub fn router_losses(routing: &Routing) -> [Tensor<1>; 2] {
    let logits = routing.logits.clone();
    let [_, e] = logits.dims();
    let [t, k] = routing.expert_ids.dims();
    let shares = routing.expert_counts().div_scalar((t * k).max(1) as f64);
    let probability = softmax(logits.clone(), 1).mean_dim(0).squeeze_dim::<1>(0);
    let load_balance = (shares * probability).sum_dim(0).mul_scalar(e as f64);

    let max = logits.clone().detach().max_dim(1);
    let log_sum_exp = (logits - max.clone()).exp().sum_dim(1).log() + max;
    [load_balance, log_sum_exp.square().mean_dim(0).squeeze_dim(1)]
}
