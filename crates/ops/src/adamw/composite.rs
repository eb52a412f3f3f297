//! The equations in plain tensor operations, rounded in the order of the fused form.

use burn::tensor::Tensor;

use super::types::{AdamW, AdamWParameter, Moments};

/// Composite of [`crate::adamw()`].
pub fn adamw(
    parameters: Vec<AdamWParameter>,
    step: u64,
    gradient_scale: f32,
    hyper: &AdamW,
) -> Vec<(Tensor<1>, Moments)> {
    let AdamW { lr, beta1, beta2, eps, weight_decay } = *hyper;
    let [bias1, bias2] = [beta1, beta2].map(|beta| 1.0 - beta.powf(step as f64));
    let update = |AdamWParameter { weight, gradient, moments: Moments { first, second }, decays }| {
        let gradient: Tensor<1> = gradient.mul_scalar(gradient_scale);
        let first = first.clone() + (gradient.clone() - first).mul_scalar(1.0 - beta1);
        let second = second.mul_scalar(beta2) + gradient.clone().mul_scalar(1.0 - beta2) * gradient;
        let denominator = second.clone().sqrt().div_scalar(bias2.sqrt()).add_scalar(eps);
        let weight: Tensor<1> = if decays { weight.mul_scalar(1.0 - lr * weight_decay) } else { weight };
        let weight = weight - first.clone().mul_scalar(lr / bias1) / denominator;
        (weight, Moments { first, second })
    };
    parameters.into_iter().map(update).collect()
}
