//! micro-batches → losses → gradients, and their sum

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use burn::{module::Module, tensor::Tensor};
use itera_model::parameters::gradients;
use itera_ops::{add_gradients, device::DeviceError, gradient_norm};

use crate::{
    losses::{LossParts, Losses},
    pairwise::PairwiseSum,
    ranks::Ranks,
    update::StepTimes,
};

/// What is learned: where micro-batches come from, and what they cost a model.
pub(crate) trait Task {
    /// The module whose weights are learned.
    type Model: Module;
    /// A micro-batch.
    type Batch;

    /// Micro-batch number `index` of the run, a function of its index.
    fn batch(&self, index: u64) -> Self::Batch;

    /// What that micro-batch costs.
    fn losses(&self, model: &Self::Model, batch: &Self::Batch, index: u64) -> LossParts;

    /// The model that is computed with, where that differs from the one that is kept.
    fn computed(&self, kept: &Self::Model) -> Option<Self::Model>;
}

/// Micro-batches of a step, of all that the step has.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    /// Completed steps.
    pub step: u64,
    /// Micro-batches of the step.
    pub of: u64,
    /// Those of this share.
    pub own: Range<u64>,
    /// By what losses are multiplied before their backward pass, and so gradients.
    pub loss_scale: f64,
}

/// What the micro-batches of a share add up to, and what each of them lost, both still on their device.
pub(crate) struct Passed {
    /// Gradients, times the loss scale, flat and without autodiff, in the order of the module's weights.
    pub gradients: PairwiseSum<Vec<Tensor<1>>>,
    pub losses: Vec<LossParts>,
}

impl Passed {
    /// The sum of all gradients, its norm, and the losses, for which the device is read once.
    ///
    /// # Errors
    /// If the device failed to compute them.
    ///
    /// # Panics
    /// If there was no micro-batch.
    pub(crate) fn sum(self) -> Result<(Vec<Tensor<1>>, f64, Vec<Losses>), DeviceError> {
        let sum = self.gradients.finish(add_gradients).expect("a micro-batch");
        let (losses, norm) = Losses::read_with(&self.losses, gradient_norm(&sum))?;
        Ok((sum, norm, losses))
    }
}

/// Pass the micro-batches of `share` forward and backward through `kept`. Their sum begins with leaf `first`.
pub(crate) fn pass<T: Task>(
    task: &T,
    kept: &T::Model,
    share: Share,
    first: u64,
    ranks: &Ranks<'_>,
    times: &mut StepTimes,
) -> Passed {
    let Share { step, of, own, loss_scale } = share;
    let mut clock = Clock::new();
    let computed = task.computed(kept);
    let model = computed.as_ref().unwrap_or(kept);
    times.forward += clock.lap();
    let mut sum = PairwiseSum::from_leaf(first);
    let mut losses = vec![];
    for micro in own {
        let index = step * of + micro;
        ranks.begin("data", step + 1);
        let batch = task.batch(index);
        times.data += clock.lap();
        ranks.begin("forward", step + 1);
        let loss = task.losses(model, &batch, index);
        times.forward += clock.lap();
        ranks.begin("backward", step + 1);
        let total = if loss_scale == 1.0 { loss.total.clone() } else { loss.total.clone().mul_scalar(loss_scale) };
        sum.push(gradients(model, total.backward()), add_gradients);
        losses.push(loss.inner());
        times.backward += clock.lap();
    }
    drop(computed);
    Passed { gradients: sum, losses }
}

/// Tells how long things take, one after the other.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Time since the last call.
    pub(crate) fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.0, Instant::now());
        self.0 - before
    }
}
