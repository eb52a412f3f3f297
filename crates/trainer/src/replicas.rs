//! replicas that learn apart → what they have moved by → one step of the model that all of them go on from (DiLoCo)
//!
//! Algorithm 1 of arXiv 2311.08105, whose k replicas are θ₁ … θₖ and whose inner steps are those of the optimizer:
//!
//! ```text
//! θᵣ = θ                       after an outer step, and at the beginning
//! H steps of θᵣ                by the gradients of the micro-batches of replica r, and an optimizer of its own
//! Δ = mean of θ − θᵣ           added by the tree of `pairwise`, over r
//! u = μ·u + Δ
//! θ = θ − η·(Δ + μ·u)          Nesterov's momentum, in the form of torch.optim.SGD
//! ```
//!
//! With `sync_moments` they also go on from the means of all that their optimizers remember, as arXiv 1905.03817 does for SGD with
//! momentum: their steps then follow the gradients of all, and not those of their own alone.
//!
//! The configuration says how many replicas there are, and ranks share them: who moves which leaves no trace.

use std::ops::Range;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use itera_checkpoint::{CheckpointError, SavedTensors};
use itera_config::TrainConfig;
use itera_model::parameters::{update_weights, weights, with_weights};
use itera_ops::add_gradients;
use itera_shape::TensorSpec;

use crate::{
    error::TrainError,
    optimizer::{Optimizer, Remembered, beside},
    pairwise::PairwiseSum,
    ranks::Ranks,
    reduce::{Leaf, reduce},
    words,
};

/// What stands before the name of a weight where its outer momentum is saved.
const VELOCITY: &str = "outer.";

/// The replicas of this rank, and what all ranks know alike.
#[derive(Clone, Debug)]
pub(crate) struct Replicas<M> {
    pub own: Vec<Replica<M>>,
    /// u of the equations, a tensor a weight.
    velocity: Vec<Tensor<1>>,
    table: Vec<TensorSpec>,
}

/// One of the models that learn apart.
#[derive(Clone, Debug)]
pub(crate) struct Replica<M> {
    /// Its number among all of the run.
    pub number: u64,
    pub model: M,
    pub optimizer: Optimizer,
}

impl<M: Module> Replicas<M> {
    /// Replicas of these numbers that begin as `model`.
    pub(crate) fn new(train: &TrainConfig, table: &[TensorSpec], device: &Device, own: Range<u64>, model: &M) -> Self {
        let replica =
            |number| Replica { number, model: model.clone(), optimizer: Optimizer::new(train, table, device) };
        let velocity = weights(model).iter().map(Tensor::zeros_like).collect();
        Self { own: own.map(replica).collect(), velocity, table: table.to_vec() }
    }

    /// Those of a run that goes on with `model`, if `is_apart` from weights of their own.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] if `saved` lacks something of them.
    pub(crate) fn restore(
        train: &TrainConfig,
        table: &[TensorSpec],
        device: &Device,
        own: Range<u64>,
        (model, is_apart): (&M, bool),
        saved: &mut SavedTensors,
    ) -> Result<Self, CheckpointError> {
        let mut replica = |number| {
            let prefix = prefix(number);
            let optimizer =
                Optimizer::restore(train, table, device, |name, len| saved.take(&format!("{prefix}{name}"), len))?;
            let mut own = |spec| beside(spec, &prefix, device, |name, len| saved.take(name, len));
            let model = match is_apart {
                true => with_weights(model.clone(), table.iter().map(&mut own).collect::<Result<_, _>>()?),
                false => model.clone(),
            };
            Ok(Replica { number, model, optimizer })
        };
        let own = own.map(&mut replica).collect::<Result<_, CheckpointError>>()?;
        let velocity = |spec| beside(spec, VELOCITY, device, |name, len| saved.take(name, len));
        let velocity = table.iter().map(velocity).collect::<Result<_, _>>()?;
        Ok(Self { own, velocity, table: table.to_vec() })
    }

    /// Take the outer step from `model`, from which all replicas then go on. All ranks call this.
    pub(crate) fn outer_step(
        &mut self,
        model: &mut M,
        train: &TrainConfig,
        ranks: &Ranks<'_>,
    ) -> Result<(), TrainError> {
        let at = weights(model);
        let mut moved = PairwiseSum::from_leaf(ranks.share(ranks.rank(), train.replicas).start);
        for replica in &self.own {
            let by = at.iter().zip(weights(&replica.model)).map(|(from, to)| from.clone() - to);
            let moments = replica.optimizer.moments().filter(|_| train.sync_moments).cloned();
            moved.push(by.chain(moments).collect(), add_gradients);
        }
        let mut leaf = Leaf::like(&at);
        leaf.lengths.extend(Optimizer::moment_lengths(train, &self.table).filter(|_| train.sync_moments));
        let mut sum = reduce(ranks, train.replicas, moved, vec![], &leaf)?.sum;
        let sums_of_moments = sum.split_off(at.len());
        drop(at);
        let (share, lr) = (1.0 / train.replicas as f64, train.outer_lr);
        let momentum = train.outer_momentum;
        let moments: Vec<Tensor<1>> = sums_of_moments.into_iter().map(|sum| sum.mul_scalar(share)).collect();
        let velocity = std::mem::take(&mut self.velocity).into_iter();
        update_weights(model, |weights| {
            let moved = weights.into_iter().zip(sum).zip(velocity).map(|((weight, sum), velocity)| {
                let by = sum.mul_scalar(share);
                let velocity = velocity.mul_scalar(momentum) + by.clone();
                (weight - (by + velocity.clone().mul_scalar(momentum)).mul_scalar(lr), velocity)
            });
            let (weights, velocity) = moved.unzip();
            self.velocity = velocity;
            weights
        });
        for replica in &mut self.own {
            replica.model = model.clone();
            replica.optimizer.set_moments(&moments);
        }
        Ok(())
    }

    /// What all ranks know alike.
    pub(crate) fn velocity(&self) -> &[Tensor<1>] {
        &self.velocity
    }

    /// All that the run remembers: on rank 0 that of every replica, elsewhere nothing. Weights of replicas are among it where
    /// they `are_apart` from those of the model. All ranks call this.
    pub(crate) fn remembered(&self, are_apart: bool, ranks: &Ranks<'_>) -> Result<Vec<Remembered>, TrainError> {
        let own = self.own.iter().flat_map(|replica| replica.remembered(&self.table, are_apart));
        let mut all: Vec<Remembered> = own.collect();
        if let Some(world) = ranks.world() {
            if ranks.rank() > 0 {
                let mut words = words::Writer::default();
                all.iter().for_each(|tensor| tensor.write(&mut words));
                world.send(0, &words.0)?;
                return Ok(vec![]);
            }
            for rank in 1..ranks.size() {
                let told = world.recv(rank)?;
                let mut words = words::Reader(&told);
                all.extend(std::iter::from_fn(|| Remembered::read(&mut words)));
            }
        }
        all.extend(self.table.iter().zip(&self.velocity).map(|(spec, values)| Remembered::new(VELOCITY, spec, values)));
        Ok(all)
    }
}

impl<M: Module> Replica<M> {
    fn remembered(&self, table: &[TensorSpec], is_apart: bool) -> Vec<Remembered> {
        let prefix = prefix(self.number);
        let mut all = self.optimizer.remembered();
        all.iter_mut().for_each(|tensor| tensor.name.insert_str(0, &prefix));
        if is_apart {
            let own = weights(&self.model);
            all.extend(table.iter().zip(&own).map(|(spec, values)| Remembered::new(&prefix, spec, values)));
        }
        all
    }
}

/// Whether replicas are where the model is after `step` steps.
pub(crate) fn is_together(train: &TrainConfig, step: u64) -> bool {
    step.is_multiple_of(train.sync_every)
}

/// What stands before the names of all that is saved of a replica.
fn prefix(number: u64) -> String {
    format!("replica-{number}.")
}
