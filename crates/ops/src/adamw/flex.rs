//! The fused form, over `itera_kernels::adamw`: one parallel pass over all parameters, in place.

use burn::tensor::Tensor;
use itera_kernels::adamw::{self, Parameter, adamw_step};

use super::types::{AdamW, AdamWParameter, Moments};
use crate::flex::array::{Array, array, tensor};

struct Arrays {
    weight: Array,
    gradient: Array,
    first: Array,
    second: Array,
    decays: bool,
}

impl From<AdamWParameter> for Arrays {
    fn from(AdamWParameter { weight, gradient, moments, decays }: AdamWParameter) -> Self {
        let [weight, gradient, first, second] = [weight, gradient, moments.first, moments.second].map(array);
        Self { weight, gradient, first, second, decays }
    }
}

impl Arrays {
    fn slices(&mut self) -> Parameter<'_> {
        Parameter {
            values: self.weight.values_mut(),
            grad: &self.gradient,
            m: self.first.values_mut(),
            v: self.second.values_mut(),
            decays: self.decays,
        }
    }
}

pub(super) fn adamw(
    parameters: Vec<AdamWParameter>,
    step: u64,
    gradient_scale: f32,
    hyper: &AdamW,
) -> Vec<(Tensor<1>, Moments)> {
    let AdamW { lr, beta1, beta2, eps, weight_decay } = *hyper;
    let hyper = adamw::AdamW { lr, beta1, beta2, eps, weight_decay };
    let mut parameters: Vec<Arrays> = parameters.into_iter().map(Arrays::from).collect();
    adamw_step(parameters.iter_mut().map(Arrays::slices).collect(), step, gradient_scale, &hyper);
    let tensors = |Arrays { weight, first, second, .. }| {
        let [weight, first, second] = [weight, first, second].map(tensor);
        (weight, Moments { first, second })
    };
    parameters.into_iter().map(tensors).collect()
}
