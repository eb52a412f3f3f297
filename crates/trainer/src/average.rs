//! weights step after step → their exponential moving average

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use itera_checkpoint::{CheckpointError, SavedTensors};
use itera_model::parameters::{weights, with_weights};
use itera_ops::lerp;
use itera_shape::TensorSpec;

use crate::optimizer::beside;

/// What stands before the name of a weight where its average is saved.
pub(crate) const AVERAGE: &str = "ema.";

/// A moving average of the weights of a module (Polyak and Juditsky 1992; in this form, arXiv 2502.06761 §2).
///
/// ```text
/// average = average + (1 − min(decay, (1 + t)/(10 + t)))·(weights − average)        after update t = 1, 2 …
/// ```
///
/// It remembers as much as the updates so far allow, so that the weights of the beginning are soon forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Average {
    decay: f64,
    weights: Vec<Tensor<1>>,
}

impl Average {
    /// One that begins with the weights of `module`.
    pub(crate) fn new<M: Module>(decay: f64, module: &M) -> Self {
        Self { decay, weights: weights(module) }
    }

    /// The average of a run that goes on.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] if `saved` lacks it.
    pub(crate) fn restore(
        decay: f64,
        table: &[TensorSpec],
        device: &Device,
        saved: &mut SavedTensors,
    ) -> Result<Self, CheckpointError> {
        let tensor = |spec| beside(spec, AVERAGE, device, |name, len| saved.take(name, len));
        Ok(Self { decay, weights: table.iter().map(tensor).collect::<Result<_, _>>()? })
    }

    /// Take the weights after update number `update` into account.
    pub(crate) fn update<M: Module>(&mut self, module: &M, update: u64) {
        let so_far = (1 + update) as f64 / (10 + update) as f64;
        let average = std::mem::take(&mut self.weights);
        self.weights = lerp(average, weights(module), 1.0 - self.decay.min(so_far));
    }

    /// Its tensors, in the order of the table.
    pub(crate) fn weights(&self) -> &[Tensor<1>] {
        &self.weights
    }

    /// `module` with the average in the place of its weights.
    pub(crate) fn of<M: Module>(&self, module: &M) -> M {
        with_weights(module.clone(), self.weights.clone())
    }
}
