//! batches → losses → gradients → sum of all ranks → norm, clip → weights, their average: one optimiser step of any module

use std::time::{Duration, Instant};

use burn::module::Module;
use itera_config::TrainConfig;
use itera_model::parameters::{gradients, weights};
use itera_ops::{add_gradients, gradient_norm, with_precision};

use crate::{
    average::Average,
    error::TrainError,
    losses::{LossParts, Losses},
    optimizer::Optimizer,
    pairwise::PairwiseSum,
    ranks::Ranks,
    reduce::{Part, Total, reduce},
    schedule::Rates,
    update::Update,
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

/// What steps change, and what they need for it.
pub(crate) struct Learner<'a, T: Task> {
    pub task: T,
    pub train: &'a TrainConfig,
    pub ranks: Ranks<'a>,
    pub model: T::Model,
    pub optimizer: Optimizer,
    /// What is validated and published, where that is an average of the weights.
    pub average: Option<Average>,
}

impl<T: Task> Learner<'_, T> {
    /// The model that is learned, or the average that stands for it, without autodiff.
    pub(crate) fn valid(&self) -> T::Model {
        let average = self.average.as_ref().map(|average| average.of(&self.model));
        let model = average.as_ref().unwrap_or(&self.model);
        self.task.computed(model).as_ref().unwrap_or(model).valid()
    }

    /// The step after `step` completed ones, `skipped` of which changed nothing: an update by the mean gradient of the
    /// micro-batches of all ranks, unless something is not finite.
    pub(crate) fn update(&mut self, step: u64, skipped: u64, rates: Rates) -> Result<Update, TrainError> {
        let micro_batches = self.train.grad_accum_steps as u64;
        let share = 1.0 / micro_batches as f64;
        let mut update = Update::default();
        let mut clock = Clock(Instant::now());
        let computed = self.task.computed(&self.model);
        let model = computed.as_ref().unwrap_or(&self.model);
        update.times.forward += clock.lap();
        let own = self.ranks.share(self.ranks.rank(), micro_batches);
        let mut sum = PairwiseSum::from_leaf(own.start);
        let mut losses = vec![];
        for micro in own {
            let index = step * micro_batches + micro;
            self.ranks.begin("data", step + 1);
            let batch = self.task.batch(index);
            update.times.data += clock.lap();
            self.ranks.begin("forward", step + 1);
            let loss = self.task.losses(model, &batch, index);
            update.times.forward += clock.lap();
            self.ranks.begin("backward", step + 1);
            sum.push(gradients(model, loss.total.backward()), add_gradients);
            losses.push(loss.inner());
            update.times.backward += clock.lap();
        }
        drop(computed);
        let part = Part { gradients: sum, losses: Losses::read(&losses) };
        self.ranks.begin("the sum", step + 1);
        let Total { gradients, losses } = reduce(&self.ranks, micro_batches, part, &weights(&self.model))?;
        update.times.reduce = clock.lap();
        self.ranks.begin("the optimizer", step + 1);
        update.losses = losses.mean(share);
        update.grad_norm = gradient_norm(&gradients) * share;
        if update.is_finite() {
            // torch.nn.utils.clip_grad_norm_: max_norm / (norm + 1e-6), at most 1
            let clip = match self.train.grad_clip_norm {
                0.0 => 1.0,
                max => (max / (update.grad_norm + 1e-6)).min(1.0),
            };
            let number = step - skipped + 1;
            let scale = (clip * share) as f32;
            with_precision(self.train.precision, || {
                self.optimizer.step(&mut self.model, gradients, scale, number, self.train, rates);
            });
            self.average.iter_mut().for_each(|average| average.update(&self.model, number));
        }
        update.times.optimizer = clock.lap();
        Ok(update)
    }
}

struct Clock(Instant);

impl Clock {
    /// Time since the last call.
    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.0, Instant::now());
        self.0 - before
    }
}

#[cfg(test)]
mod tests;
