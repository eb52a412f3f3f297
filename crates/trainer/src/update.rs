//! The numbers of one optimiser step.

use std::time::Duration;

use burn::tensor::Tensor;

use crate::{objective::LossParts, state::add_counts};

/// What one step did, means over its micro-batches.
#[derive(Debug, Default)]
pub(crate) struct Update {
    /// Cross-entropy a token.
    pub loss_nats: f64,
    /// What was minimised.
    pub total: f64,
    /// Load-balancing loss; `None` without experts.
    pub load_balance: Option<f64>,
    /// Router z-loss; `None` without experts.
    pub z: Option<f64>,
    /// Tokens that each expert of each layer got, all micro-batches together.
    pub tokens_per_expert: Vec<Vec<u64>>,
    /// Global norm of the mean gradient, before clipping.
    pub grad_norm: f64,
    /// What it took.
    pub times: StepTimes,
}

/// Wall time of the phases of a step. The device has done its work when a phase ends, because each ends with numbers
/// that are read from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Batches out of the token stream.
    pub data: Duration,
    /// The model and its losses.
    pub forward: Duration,
    /// Gradients, and their sum over micro-batches.
    pub backward: Duration,
    /// Norm of the gradient, clipping, AdamW.
    pub optimizer: Duration,
    /// Rows of metrics.
    pub log: Duration,
}

impl StepTimes {
    /// All phases together.
    pub fn total(&self) -> Duration {
        self.data + self.forward + self.backward + self.optimizer + self.log
    }
}

impl Update {
    /// Add a micro-batch that is `share` of the step.
    pub(crate) fn add(&mut self, share: f64, loss: &LossParts) {
        let value = |tensor: &Tensor<1>| share * f64::from(tensor.clone().into_scalar::<f32>());
        self.loss_nats += value(&loss.cross_entropy);
        self.total += value(&loss.total);
        if let Some(load_balance) = &loss.load_balance {
            *self.load_balance.get_or_insert(0.0) += value(load_balance);
        }
        if let Some(z) = &loss.z {
            *self.z.get_or_insert(0.0) += value(z);
        }
        add_counts(&mut self.tokens_per_expert, &loss.tokens_per_expert);
    }

    /// Whether the update may be applied.
    pub(crate) fn is_finite(&self) -> bool {
        self.total.is_finite() && self.grad_norm.is_finite()
    }
}
