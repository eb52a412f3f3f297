//! hidden → head → log-softmax → nats of the target

pub(crate) mod composite;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;

use burn::tensor::{Int, Tensor, assert_shape};

use crate::dispatch::dispatch;

/// Cross-entropy of each target under the head's distribution, in nats:
/// `−log softmax(hidden · headᵀ / logits_scaling)[target]`.
///
/// # Shapes
/// `hidden_td`: [t, d], `head_vd`: [v, d], `targets_t`: `[t]` → `[t]`
///
/// # Panics
/// If the shapes do not fit.
pub fn head_cross_entropy(
    hidden_td: Tensor<2>,
    head_vd: Tensor<2>,
    targets_t: Tensor<1, Int>,
    logits_scaling: f64,
) -> Tensor<1> {
    let [t, d] = hidden_td.dims();
    assert_shape!(head_vd, [_, d]);
    assert_shape!(targets_t, [t]);
    dispatch!(flex, cube: &hidden_td => head_cross_entropy(hidden_td, head_vd, targets_t, logits_scaling))
}
