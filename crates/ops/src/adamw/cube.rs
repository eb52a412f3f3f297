//! The fused form of CubeCL's devices: as many parameters a kernel as it can have buffers, in place.

use burn::tensor::Tensor;
use cubecl::prelude::*;

use super::types::{AdamW, AdamWParameter, Arrays, Moments};
use crate::cube::array::{Array, array, at_a_time, tensor, units};

/// Weight, gradient, both moments.
const BUFFERS: usize = 4;

/// A parameter in a kernel.
#[derive(CubeType, CubeLaunch)]
struct Slices {
    weight: Box<[f32]>,
    gradient: Box<[f32]>,
    first: Box<[f32]>,
    second: Box<[f32]>,
    /// What decay leaves of a weight.
    kept: f32,
}

/// A unit for each element of `n` parameters, one behind the other.
#[cube(launch)]
fn step(
    mut parameters: Sequence<Slices>,
    gradient_scale: f32,
    first_share: f32,
    beta2: f32,
    second_share: f32,
    root_bias: f32,
    eps: f32,
    rate: f32,
    #[comptime] n: usize,
) {
    let mut begin = 0usize;
    #[unroll]
    for k in 0..n {
        let parameter = parameters.index_mut(k);
        let len = parameter.weight.len();
        if ABSOLUTE_POS >= begin && ABSOLUTE_POS < begin + len {
            let at = ABSOLUTE_POS - begin;
            let g = parameter.gradient[at] * gradient_scale;
            let m = parameter.first[at] + (g - parameter.first[at]) * first_share;
            let v = parameter.second[at] * beta2 + g * second_share * g;
            parameter.first[at] = m;
            parameter.second[at] = v;
            parameter.weight[at] = parameter.weight[at] * parameter.kept - m * rate / (v.sqrt() / root_bias + eps);
        }
        begin += len;
    }
}

impl Arrays<Array> {
    /// What is written is nobody else's.
    fn owned(self) -> Self {
        let Self { weight, first, second, .. } = self;
        Self { weight: weight.own(), first: first.own(), second: second.own(), ..self }
    }

    fn arg(&self, kept: f32) -> SlicesLaunch {
        let Self { weight, gradient, first, second, .. } = self;
        SlicesLaunch::new(weight.arg(), gradient.arg(), first.arg(), second.arg(), kept)
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
    let parameters: Vec<Arrays<Array>> =
        parameters.into_iter().map(|parameter| Arrays::of(parameter, array).owned()).collect();
    let client = parameters[0].weight.client();
    for group in parameters.chunks(at_a_time(client, BUFFERS)) {
        let (count, dim) = units(client, group.iter().map(|parameter| parameter.weight.len()).sum());
        let kept = |decays| if decays { (1.0 - lr * weight_decay) as f32 } else { 1.0 };
        step::launch(
            client,
            count,
            dim,
            group.iter().map(|parameter| parameter.arg(kept(parameter.decays))).collect(),
            gradient_scale,
            (1.0 - beta1) as f32,
            beta2 as f32,
            (1.0 - beta2) as f32,
            bias2.sqrt() as f32,
            eps as f32,
            (lr / bias1) as f32,
            group.len(),
        );
    }
    parameters.into_iter().map(|parameter| parameter.tensors(tensor)).collect()
}
