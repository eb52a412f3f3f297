//! gradients of the micro-batches → sum of all ranks → norm, clip → weights, their average: one optimiser step of any module
//!
//! Where replicas learn apart, each has the gradients of its own micro-batches; ranks then exchange losses alone, and what
//! the replicas have moved by every `sync_every` steps.

use burn::module::Module;
use itera_config::TrainConfig;
use itera_model::parameters::weights;
use itera_ops::{add_gradients, gradient_norm, with_precision};

use crate::{
    average::Average,
    error::TrainError,
    optimizer::{Optimizer, Remembered},
    pace::Pace,
    ranks::{Ranks, part_of},
    reduce::{Total, reduce},
    replicas::{Replica, Replicas, is_together},
    schedule::Rates,
    task::{Clock, Passed, Share, Task, pass},
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

    /// The step after `step` completed ones, `skipped` of which changed nothing: an update by the mean gradient of its
    /// micro-batches, of each replica's own where there are replicas, unless something is not finite.
    pub(crate) fn update(&mut self, step: u64, skipped: u64, rates: Rates) -> Result<Update, TrainError> {
        match self.optimizer {
            Optimizers::Of(_) => self.update_together(step, skipped, rates),
            Optimizers::Replicas(_) => self.update_apart(step, skipped, rates),
        }
    }

    fn update_together(&mut self, step: u64, skipped: u64, rates: Rates) -> Result<Update, TrainError> {
        let Self { task, train, ranks, model, average, .. } = self;
        let Optimizers::Of(optimizer) = &mut self.optimizer else { unreachable!("replicas learn apart") };
        let micro_batches = train.grad_accum_steps as u64;
        let own = ranks.share(ranks.rank(), micro_batches);
        let mut times = StepTimes::default();
        let first = own.start;
        let Passed { gradients, losses } =
            pass(task, model, Share { step, of: micro_batches, own }, first, ranks, &mut times);
        let mut clock = Clock::new();
        ranks.begin("the sum", step + 1);
        let told = Told { losses, norms: vec![], work: times.work() }.to_bytes();
        let Total { sum, told } = reduce(ranks, micro_batches, gradients, told, &weights(model))?;
        let told = Told::of_all(&told);
        times.reduce = clock.lap();
        ranks.begin("the optimizer", step + 1);
        let share = 1.0 / micro_batches as f64;
        let grad_norm = gradient_norm(&sum) * share;
        let mut update = Update { losses: Told::sum_losses(&told).mean(share), grad_norm, times, ..Update::default() };
        if update.is_finite() {
            let number = step - skipped + 1;
            with_precision(train.precision, || {
                optimizer.step(model, sum, clip(train, grad_norm, share), number, train, rates);
            });
            average.iter_mut().for_each(|average| average.update(model, number));
        }
        update.times.optimizer = clock.lap();
        update.slow = self.pace.after_step(&told);
        Ok(update)
    }

    fn update_apart(&mut self, step: u64, skipped: u64, rates: Rates) -> Result<Update, TrainError> {
        let Self { task, train, ranks, model, .. } = self;
        let Optimizers::Replicas(replicas) = &mut self.optimizer else { unreachable!("there are replicas") };
        let micro_batches = train.grad_accum_steps as u64;
        let mut times = StepTimes::default();
        let (mut all_losses, mut steps) = (vec![], vec![]);
        for replica in &replicas.own {
            let own = part_of(replica.number, train.replicas, micro_batches);
            let share = 1.0 / (own.end - own.start) as f64;
            let share_of_step = Share { step, of: micro_batches, own };
            let Passed { gradients, losses } = pass(task, &replica.model, share_of_step, 0, ranks, &mut times);
            let gradients = gradients.finish(add_gradients).expect("a replica has a micro-batch");
            let norm = gradient_norm(&gradients) * share;
            all_losses.extend(losses);
            steps.push((gradients, norm, share));
        }
        let mut clock = Clock::new();
        ranks.begin("the losses", step + 1);
        let norms = steps.iter().map(|(_, norm, _)| *norm).collect();
        let told = ranks.gather(Told { losses: all_losses, norms, work: times.work() }.to_bytes())?;
        let told = Told::of_all(&told);
        times.reduce = clock.lap();
        ranks.begin("the optimizer", step + 1);
        let norms: f64 = told.iter().flat_map(|told| &told.norms).sum();
        let mut update = Update {
            losses: Told::sum_losses(&told).mean(1.0 / micro_batches as f64),
            grad_norm: norms / train.replicas as f64,
            times,
            ..Update::default()
        };
        if update.is_finite() {
            for (replica, (gradients, norm, share)) in replicas.own.iter_mut().zip(steps) {
                let scale = clip(train, norm, share);
                with_precision(train.precision, || {
                    let Replica { model, optimizer, .. } = replica;
                    optimizer.step(model, gradients, scale, step - skipped + 1, train, rates);
                });
            }
        }
        update.times.optimizer = clock.lap();
        if is_together(train, step + 1) {
            ranks.begin("the outer step", step + 1);
            replicas.outer_step(model, train, ranks)?;
            update.times.reduce += clock.lap();
        }
        update.slow = self.pace.after_step(&told);
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

/// By what a sum of gradients is multiplied of which each summand has `share`, and whose mean has the norm `norm`.
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
