//! The fused form, over `itera_kernels::adamw`: one parallel pass over all parameters, in place.

use burn::tensor::Tensor;
use itera_kernels::adamw::{self, Parameter, adamw_step};

use super::types::{AdamW, AdamWParameter, Arrays, Moments};
use crate::flex::array::{Array, array, tensor};

impl Arrays<Array> {
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
    let mut parameters: Vec<Arrays<Array>> =
        parameters.into_iter().map(|parameter| Arrays::of(parameter, array)).collect();
    adamw_step(parameters.iter_mut().map(Arrays::slices).collect(), step, gradient_scale, &hyper);
    parameters.into_iter().map(|parameter| parameter.tensors(tensor)).collect()
}
