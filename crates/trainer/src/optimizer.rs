//! gradients → AdamW over all tensors

use itera_config::TrainConfig;
use itera_kernels::adamw::{self, Parameter, adamw_step};
use itera_model::LanguageModel;
use itera_shape::ModelConfig;

/// Moments of AdamW (arXiv 1711.05101), f32, one vector a tensor in the order of [`ModelConfig::tensors`].
#[derive(Clone, Debug)]
pub struct AdamW {
    /// Moving means of the gradients.
    pub first: Vec<Vec<f32>>,
    /// Moving means of their squares.
    pub second: Vec<Vec<f32>>,
    decays: Vec<bool>,
}

/// Whether weight decay applies to a tensor: to matrices, not to vectors or the taps of the convolution.
pub fn decays(name: &str, shape: &[usize]) -> bool {
    shape.len() >= 2 && !name.ends_with("conv_weight")
}

impl AdamW {
    /// Moments at zero.
    pub fn new(model: &ModelConfig) -> Self {
        let tensors = model.tensors();
        let zeros: Vec<Vec<f32>> = tensors.iter().map(|t| vec![0.0; t.shape.iter().product()]).collect();
        let decays = tensors.iter().map(|t| decays(&t.name, &t.shape)).collect();
        Self { first: zeros.clone(), second: zeros, decays }
    }

    /// Update number `update` (from 1): move `model` by `grad_scale · gradients` at rate `lr`.
    pub fn step(
        &mut self,
        model: &mut LanguageModel,
        gradients: &[Vec<f32>],
        grad_scale: f32,
        update: u64,
        lr: f64,
        config: &TrainConfig,
    ) {
        let TrainConfig { beta1, beta2, eps, weight_decay, .. } = *config;
        let hyper = adamw::AdamW { lr, beta1, beta2, eps, weight_decay };
        let moments = self.first.iter_mut().zip(&mut self.second).zip(&self.decays);
        model.update(|weights| {
            let tensors = weights.iter_mut().zip(gradients).zip(moments);
            let parameters =
                tensors.map(|((values, grad), ((m, v), decays))| Parameter { values, grad, m, v, decays: *decays });
            adamw_step(parameters.collect(), update, grad_scale, &hyper);
        });
    }
}
