//! gradients → AdamW over all weights of a module

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use itera_model::parameters::update_weights;
use itera_ops::{AdamW, AdamWParameter, HostValues, Moments, adamw, host_values};
use itera_shape::TensorSpec;

/// The moments of AdamW (arXiv 1711.05101) for each tensor of a table, in its order, on the device of the weights.
#[derive(Clone, Debug)]
pub struct Optimizer {
    moments: Vec<Moments>,
    decays: Vec<bool>,
}

impl Optimizer {
    /// Moments at zero.
    pub fn new(table: &[TensorSpec], device: &Device) -> Self {
        let zeros = || table.iter().map(|spec| vec![0.0; spec.n_params()]).collect();
        Self::from_values(table, device, zeros(), zeros())
    }

    /// The moments of a run that goes on.
    ///
    /// # Panics
    /// Unless there is one vector of each kind for every tensor of the table, of its length.
    pub fn from_values(table: &[TensorSpec], device: &Device, first: Vec<Vec<f32>>, second: Vec<Vec<f32>>) -> Self {
        assert!([first.len(), second.len()] == [table.len(); 2], "moments for each tensor of the table");
        let device = device.clone().without_autodiff();
        let tensor = |spec: &TensorSpec, values| Tensor::from_data(TensorData::new(values, [spec.n_params()]), &device);
        let moments = table.iter().zip(first).zip(second);
        Self {
            moments: moments
                .map(|((spec, first), second)| Moments { first: tensor(spec, first), second: tensor(spec, second) })
                .collect(),
            decays: table.iter().map(TensorSpec::decays).collect(),
        }
    }

    /// Moving means of the gradients and of their squares, for a checkpoint.
    pub fn moments(&self) -> [Vec<HostValues>; 2] {
        let read = |moment: fn(&Moments) -> &Tensor<1>| self.moments.iter().map(|of| host_values(moment(of))).collect();
        [read(|of| &of.first), read(|of| &of.second)]
    }

    /// Update number `update` (from 1): move the weights of `module` by `gradient_scale · gradients`, which are in the
    /// order of the table.
    pub fn step<M: Module>(
        &mut self,
        module: &mut M,
        gradients: Vec<Tensor<1>>,
        gradient_scale: f32,
        update: u64,
        hyper: &AdamW,
    ) {
        let moments = std::mem::take(&mut self.moments);
        update_weights(module, |weights| {
            let parameters = weights.into_iter().zip(gradients).zip(moments).zip(&self.decays);
            let parameters = parameters.map(|(((weight, gradient), moments), decays)| AdamWParameter {
                weight,
                gradient,
                moments,
                decays: *decays,
            });
            let (weights, moments) = adamw(parameters.collect(), update, gradient_scale, hyper).into_iter().unzip();
            self.moments = moments;
            weights
        });
    }
}
