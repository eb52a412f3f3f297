//! hidden → head → log-softmax → nats of the target

use burn::tensor::{Int, Tensor, activation::log_softmax};

use crate::linear::composite::linear;

/// Composite of [`crate::head_cross_entropy`].
///
/// # Shapes
/// `hidden_td`: [t, d], `head_vd`: [v, d], `targets_t`: `[t]` → `[t]`
pub fn head_cross_entropy(
    hidden_td: Tensor<2>,
    head_vd: Tensor<2>,
    targets_t: Tensor<1, Int>,
    logits_scaling: f64,
) -> Tensor<1> {
    let logits_tv = linear(hidden_td, head_vd).div_scalar(logits_scaling);
    log_softmax(logits_tv, 1).gather(1, targets_t.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1).neg()
}
