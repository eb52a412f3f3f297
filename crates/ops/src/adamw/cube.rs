//! The fused form of CubeCL's devices: one kernel a parameter, in place.

use burn::tensor::Tensor;
use cubecl::prelude::*;

use super::types::{AdamW, AdamWParameter, Moments};
use crate::cube::array::{array, tensor, units};

#[cube(launch)]
fn step(
    weight: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient_scale: f32,
    first_share: f32,
    beta2: f32,
    second_share: f32,
    root_bias: f32,
    eps: f32,
    kept: f32,
    rate: f32,
) {
    let at = ABSOLUTE_POS;
    if at < weight.len() {
        let g = gradient[at] * gradient_scale;
        let m = first[at] + (g - first[at]) * first_share;
        let v = second[at] * beta2 + g * second_share * g;
        first[at] = m;
        second[at] = v;
        weight[at] = weight[at] * kept - m * rate / (v.sqrt() / root_bias + eps);
    }
}

pub(super) fn adamw(
    parameters: Vec<AdamWParameter>,
    number: u64,
    gradient_scale: f32,
    hyper: &AdamW,
) -> Vec<(Tensor<1>, Moments)> {
    let AdamW { lr, beta1, beta2, eps, weight_decay } = *hyper;
    let [bias1, bias2] = [beta1, beta2].map(|beta| 1.0 - beta.powf(number as f64));
    let update = |AdamWParameter { weight, gradient, moments, decays }: AdamWParameter| {
        let gradient = array(gradient);
        let [weight, first, second] = [weight, moments.first, moments.second].map(|tensor| array(tensor).own());
        let (count, dim) = units(weight.client(), weight.len());
        step::launch(
            weight.client(),
            count,
            dim,
            weight.arg(),
            gradient.arg(),
            first.arg(),
            second.arg(),
            gradient_scale,
            (1.0 - beta1) as f32,
            beta2 as f32,
            (1.0 - beta2) as f32,
            bias2.sqrt() as f32,
            eps as f32,
            if decays { (1.0 - lr * weight_decay) as f32 } else { 1.0 },
            (lr / bias1) as f32,
        );
        let [weight, first, second] = [weight, first, second].map(tensor);
        (weight, Moments { first, second })
    };
    parameters.into_iter().map(update).collect()
}
