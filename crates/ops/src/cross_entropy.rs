//! hidden → head → log-softmax → nats of the target

use burn::tensor::{Int, Tensor};

use crate::composite;

/// Cross-entropy of each target under the head's distribution, in nats.
///
/// `−log softmax(hidden · headᵀ / logits_scaling)[target]`
///
/// # Shapes
/// `hidden_td`: [t, d], `head_vd`: [v, d], `targets_t`: `[t]` → `[t]`
pub fn head_cross_entropy(
    hidden_td: Tensor<2>,
    head_vd: Tensor<2>,
    targets_t: Tensor<1, Int>,
    logits_scaling: f64,
) -> Tensor<1> {
    composite::head_cross_entropy(hidden_td, head_vd, targets_t, logits_scaling)
}
