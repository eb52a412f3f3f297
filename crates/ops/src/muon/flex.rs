//! The fused form, over `itera_kernels::muon`: a task a matrix, in place.

use burn::tensor::Tensor;
use itera_kernels::muon::{self, Parameter, muon_step};

use super::types::{Muon, MuonParameter, UPDATE_RMS, polar_steps};
use crate::{
    flex::array::{Array, array, tensor},
    precision::products,
};

pub(super) fn muon(parameters: Vec<MuonParameter>, gradient_scale: f32, hyper: &Muon) -> Vec<(Tensor<1>, Tensor<1>)> {
    let Muon { lr, momentum, weight_decay } = *hyper;
    let arrays =
        |MuonParameter { weight, gradient, momentum, matrices }| ([weight, gradient, momentum].map(array), matrices);
    let mut parameters: Vec<([Array; 3], Vec<usize>)> = parameters.into_iter().map(arrays).collect();
    let slices = parameters.iter_mut().map(|([weight, gradient, momentum], matrices)| Parameter {
        values: weight.values_mut(),
        grad: gradient,
        momentum: momentum.values_mut(),
        matrices,
    });
    let hyper =
        muon::Muon { lr, momentum, weight_decay, update_rms: UPDATE_RMS, polar: &polar_steps(), operands: products() };
    muon_step(slices.collect(), gradient_scale, &hyper);
    parameters.into_iter().map(|([weight, _, momentum], _)| (tensor(weight), tensor(momentum))).collect()
}
