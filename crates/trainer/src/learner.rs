//! gradients of the micro-batches → sum of all ranks → norm, clip → weights, their average: one optimiser step of any module
//!
//! Where replicas learn apart, each has the gradients of its own micro-batches; ranks then exchange losses alone, and what
//! the replicas have moved by every `sync_every` steps.

use std::ops::Range;

use burn::{module::Module, tensor::Tensor};
use itera_config::TrainConfig;
use itera_model::parameters::weights;
use itera_ops::{gradient_norm, with_precision};

use crate::{
    average::Average,
    error::TrainError,
    losses::Losses,
    optimizer::{Optimizer, Remembered},
    pace::Pace,
    ranks::{Ranks, part_of},
    reduce::{Leaf, Total, reduce},
    replicas::{Replica, Replicas, is_together},
    schedule::Rates,
    state::TrainingState,
    task::{Clock, Share, Task, pass},
    told::Told,
    update::{StepTimes, Update},
};

/// What steps change, and what they need for it.
pub(crate) struct Learner<'a, T: Task> {
    pub task: T,
    pub train: &'a TrainConfig,
    pub ranks: Ranks<'a>,
    pub model: T::Model,
    pub optimizer: Optimizers<T::Model>,
    /// What is validated and published, where that is an average of the weights.
    pub average: Option<Average>,
    /// How fast each rank is.
    pub pace: Pace,
}

/// What moves the weights.
#[derive(Clone, Debug)]
pub(crate) enum Optimizers<M> {
    /// The optimizer of the model.
    Of(Optimizer),
    /// Replicas of the model, with an optimizer each.
    Replicas(Replicas<M>),
}

impl<T: Task> Learner<'_, T> {
    /// The model that is learned, or the average that stands for it, without autodiff.
    pub(crate) fn valid(&self) -> T::Model {
        let average = self.average.as_ref().map(|average| average.of(&self.model));
        let model = average.as_ref().unwrap_or(&self.model);
        self.task.computed(model).as_ref().unwrap_or(model).valid()
    }

    /// The step after `state`: an update by the mean gradient of its micro-batches, of each replica's own where there are
    /// replicas, unless something is not finite.
    pub(crate) fn update(&mut self, state: &TrainingState, rates: Rates) -> Result<Update, TrainError> {
        let Self { task, train, ranks, model, optimizer, average, pace } = self;
        let TrainingState { step, skipped, loss_scale, .. } = *state;
        let loss_scale = loss_scale.map_or(1.0, |scale| scale.scale);
        let step = Step { task, train, ranks, step, number: step - skipped + 1, rates, loss_scale };
        let (mut update, told) = match optimizer {
            Optimizers::Of(optimizer) => step.together(model, optimizer, average.as_mut())?,
            Optimizers::Replicas(replicas) => step.apart(model, replicas)?,
        };
        update.slow = pace.after_step(&told);
        Ok(update)
    }

    /// What the optimizer remembers after `step` steps: of all ranks on rank 0. All ranks call this.
    pub(crate) fn remembered(&self, step: u64) -> Result<Vec<Remembered>, TrainError> {
        match &self.optimizer {
            Optimizers::Of(optimizer) => Ok(optimizer.remembered()),
            Optimizers::Replicas(replicas) => replicas.remembered(!is_together(self.train, step), &self.ranks),
        }
    }
}

/// A step, and what it is made with.
struct Step<'s, T: Task> {
    task: &'s T,
    train: &'s TrainConfig,
    ranks: &'s Ranks<'s>,
    /// Completed steps.
    step: u64,
    /// Its number among those that change something, from 1.
    number: u64,
    rates: Rates,
    /// By what losses are multiplied before their backward pass.
    loss_scale: f64,
}

impl<T: Task> Step<'_, T> {
    /// Move `model` by the mean gradient of the micro-batches of all ranks.
    fn together(
        &self,
        model: &mut T::Model,
        optimizer: &mut Optimizer,
        average: Option<&mut Average>,
    ) -> Result<(Update, Vec<Told>), TrainError> {
        let Self { train, ranks, number, .. } = *self;
        let micro_batches = train.grad_accum_steps as u64;
        let share = 1.0 / micro_batches as f64;
        let own = ranks.share(ranks.rank(), micro_batches);
        let mut times = StepTimes::default();
        let first = own.start;
        let passed = pass(self.task, model, self.share(own), first, ranks, &mut times);
        let mut clock = Clock::new();
        let (sum, norm, told) = if ranks.world().is_none() {
            let (sum, norm, losses) = passed.sum()?;
            times.backward += clock.lap();
            (sum, norm, vec![Told { losses, norms: vec![], work: times.work() }])
        } else {
            // the losses go with the gradients, so they are read before there is a norm
            let losses = Losses::read(&passed.losses)?;
            times.backward += clock.lap();
            ranks.take_waited();
            ranks.begin("the sum", self.step + 1);
            let told = Told { losses, norms: vec![], work: times.work() }.to_bytes();
            let leaf = Leaf::like(&weights(model));
            let Total { sum, told } = reduce(ranks, micro_batches, passed.gradients, told, &leaf)?;
            times.add_joint(clock.lap(), ranks.take_waited());
            let norm = gradient_norm(&sum).read()?;
            (sum, norm, Told::of_all(&told))
        };
        ranks.begin("the optimizer", self.step + 1);
        let of_gradient = share / self.loss_scale;
        let grad_norm = norm * of_gradient;
        let mut update = Update { losses: Told::sum_losses(&told).mean(share), grad_norm, times, slow: None };
        if update.is_finite() {
            self.step(model, optimizer, sum, clip(train, grad_norm, of_gradient));
            average.into_iter().for_each(|average| average.update(model, number));
        }
        update.times.optimizer = clock.lap();
        Ok((update, told))
    }

    /// Move each replica by the mean gradient of its own micro-batches and, where they meet, `model` by what they have moved by.
    fn apart(
        &self,
        model: &mut T::Model,
        replicas: &mut Replicas<T::Model>,
    ) -> Result<(Update, Vec<Told>), TrainError> {
        let Self { train, ranks, .. } = *self;
        let micro_batches = train.grad_accum_steps as u64;
        let mut times = StepTimes::default();
        let (mut losses, mut norms, mut moves) = (vec![], vec![], vec![]);
        for replica in &replicas.own {
            let own = part_of(replica.number, train.replicas, micro_batches);
            let share = 1.0 / ((own.end - own.start) as f64 * self.loss_scale);
            let passed = pass(self.task, &replica.model, self.share(own), 0, ranks, &mut times);
            let mut clock = Clock::new();
            let (sum, norm, of_replica) = passed.sum()?;
            times.backward += clock.lap();
            let norm = norm * share;
            losses.extend(of_replica);
            norms.push(norm);
            moves.push((sum, clip(train, norm, share)));
        }
        let mut clock = Clock::new();
        ranks.take_waited();
        ranks.begin("the losses", self.step + 1);
        let told = Told::of_all(&ranks.gather(Told { losses, norms, work: times.work() }.to_bytes())?);
        times.add_joint(clock.lap(), ranks.take_waited());
        ranks.begin("the optimizer", self.step + 1);
        let losses = Told::sum_losses(&told).mean(1.0 / micro_batches as f64);
        let grad_norm = told.iter().flat_map(|told| &told.norms).sum::<f64>() / train.replicas as f64;
        let mut update = Update { losses, grad_norm, times, slow: None };
        if update.is_finite() {
            for (Replica { model, optimizer, .. }, (sum, scale)) in replicas.own.iter_mut().zip(moves) {
                self.step(model, optimizer, sum, scale);
            }
        }
        update.times.optimizer = clock.lap();
        if is_together(train, self.step + 1) {
            ranks.begin("the outer step", self.step + 1);
            replicas.outer_step(model, train, ranks)?;
            update.times.add_joint(clock.lap(), ranks.take_waited());
        }
        Ok((update, told))
    }

    /// The micro-batches `own` of this step.
    fn share(&self, own: Range<u64>) -> Share {
        Share { step: self.step, of: self.train.grad_accum_steps as u64, own, loss_scale: self.loss_scale }
    }

    fn step(&self, model: &mut T::Model, optimizer: &mut Optimizer, gradients: Vec<Tensor<1>>, scale: f32) {
        with_precision(self.train.precision, || {
            optimizer.step(model, gradients, scale, self.number, self.train, self.rates);
        });
    }
}

/// By what a sum of gradients is multiplied of which each summand has `share`, its loss scale included, and whose mean has
/// the norm `norm`.
fn clip(train: &TrainConfig, norm: f64, share: f64) -> f32 {
    // torch.nn.utils.clip_grad_norm_: max_norm / (norm + 1e-6), at most 1
    let clip = match train.grad_clip_norm {
        0.0 => 1.0,
        max => (max / (norm + 1e-6)).min(1.0),
    };
    (clip * share) as f32
}

#[cfg(test)]
mod tests;
