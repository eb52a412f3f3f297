//! The numbers of one optimiser step.

use std::time::Duration;

use crate::{losses::Losses, pace::Slow};

/// Numbers of one step.
#[derive(Debug, Default)]
pub(crate) struct Update {
    /// Means over its micro-batches; tokens of all of them together.
    pub losses: Losses,
    /// Global norm of the mean gradient, before clipping.
    pub grad_norm: f64,
    /// Wall time by phase.
    pub times: StepTimes,
    /// A rank that has been slow for long enough to be named.
    pub slow: Option<Slow>,
}

/// Wall time of the phases of a step. A device that computes in the background is waited for in `backward`, where the
/// losses of the step are read from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Batches out of the token stream.
    pub data: Duration,
    /// The model and its losses.
    pub forward: Duration,
    /// Gradients, their sum over micro-batches, and reading the losses; the norm too, in a process alone.
    pub backward: Duration,
    /// Among several processes, waiting for the others to come to what all do together.
    pub wait: Duration,
    /// Joining the sums of all processes, where there are several.
    pub reduce: Duration,
    /// Clipping, AdamW; among several processes the norm of the gradients.
    pub optimizer: Duration,
    /// Rows of metrics.
    pub log: Duration,
}

impl StepTimes {
    /// What a rank does for itself: data, forward and backward passes.
    pub(crate) fn work(&self) -> [Duration; 3] {
        [self.data, self.forward, self.backward]
    }

    /// Count what ranks did together in `time`, of which this one has `waited`.
    pub(crate) fn add_joint(&mut self, time: Duration, waited: Duration) {
        self.wait += waited;
        self.reduce += time.saturating_sub(waited);
    }

    /// All phases together.
    pub fn total(&self) -> Duration {
        self.data + self.forward + self.backward + self.wait + self.reduce + self.optimizer + self.log
    }
}

impl Update {
    /// Whether the update may be applied.
    pub(crate) fn is_finite(&self) -> bool {
        self.losses.total.is_finite() && self.grad_norm.is_finite()
    }
}
