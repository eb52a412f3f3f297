//! weights, gradients, moments → one AdamW step → weights, moments

pub(crate) mod composite;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod types;

use burn::tensor::{Tensor, assert_shape};

pub use types::{AdamW, AdamWParameter, Moments};

use crate::dispatch::dispatch;

/// Step number `step` (from 1) of AdamW over all `parameters` (arXiv 1711.05101, algorithm 2, with the decay multiplied by
/// the learning rate, as `torch.optim.AdamW` has it): weights and moments in the order of `parameters`.
///
/// ```text
/// g = gradient_scale · gradient
/// m = β₁·m + (1 − β₁)·g        v = β₂·v + (1 − β₂)·g²
/// w = w·(1 − lr·weight_decay) − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
/// ```
///
/// `gradient_scale` carries what all gradients of a step have in common: the factor that clips their norm, and the one
/// that makes a sum over micro-batches a mean.
///
/// Everything stays on its device. The fused form writes into the memory of weights and moments where nobody else holds
/// it, and gives that of the gradients to later operators.
///
/// # Panics
/// If the tensors of a parameter differ in length, or `step` is 0.
pub fn adamw(
    parameters: Vec<AdamWParameter>,
    step: u64,
    gradient_scale: f32,
    hyper: &AdamW,
) -> Vec<(Tensor<1>, Moments)> {
    assert!(step >= 1, "AdamW counts steps from 1");
    for AdamWParameter { weight, gradient, moments, .. } in &parameters {
        let [len] = weight.dims();
        assert_shape!(gradient, [len]);
        assert_shape!(moments.first, [len]);
        assert_shape!(moments.second, [len]);
    }
    if parameters.is_empty() {
        return vec![];
    }
    dispatch!(flex, cube: &parameters[0].weight => adamw(parameters, step, gradient_scale, hyper))
}
