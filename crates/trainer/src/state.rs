//! What a run remembers between steps, apart from weights and moments.

use itera_metrics::Sample;
use serde::{Deserialize, Serialize};

use crate::loss_scale::LossScale;

/// The lowest validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Bits per byte of held-out text.
    pub val_bpb: f64,
    /// Step it was measured at.
    pub step: u64,
}

/// Saved with every checkpoint. The data position, the schedule and all random streams are functions of `step`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingState {
    /// Completed steps, skipped ones included.
    pub step: u64,
    /// Training tokens seen.
    pub tokens: u64,
    /// Steps whose update was skipped because loss or gradient was not finite.
    pub skipped: u64,
    /// How many of those came last without a good step between, those that a smaller loss scale may mend left out.
    pub consecutive_skipped: u64,
    /// By what the next loss is multiplied, in f16.
    pub loss_scale: Option<LossScale>,
    /// The lowest validation so far.
    pub best: Option<Best>,
    /// The validation that patience counts from: the last that improved by `min_delta`.
    pub patience_bpb: Option<f64>,
    /// Validations since then.
    pub validations_without_improvement: u64,
    /// The lowest validations, those whose checkpoints `keep_best` keeps, best first.
    pub kept_best: Vec<Best>,
    /// Whether early stopping has ended the run.
    pub early_stopped: bool,
    /// Continuations of the configured prompts at the last validation.
    pub samples: Vec<Sample>,
    /// Sums since the last metrics row.
    pub window: Window,
    /// Seconds spent training, over all interruptions.
    pub elapsed_s: f64,
    /// Times the run was resumed.
    pub resumes: u64,
}

/// Sums over the steps since the last metrics row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Steps with finite losses.
    pub steps: u64,
    /// Cross-entropy in nats.
    pub loss_nats: f64,
    /// Load-balancing loss.
    pub load_balance: f64,
    /// Router z-loss.
    pub z: f64,
    /// Tokens that each expert of each layer got.
    pub tokens_per_expert: Vec<Vec<u64>>,
}

impl Window {
    /// The mean of `sum` over the steps; `None` if none was finite.
    pub(crate) fn mean(&self, sum: f64) -> Option<f64> {
        (self.steps > 0).then(|| sum / self.steps as f64)
    }
}

/// Add `counts` to `sums`, which may still be empty.
pub(crate) fn add_counts(sums: &mut Vec<Vec<u64>>, counts: &[Vec<u64>]) {
    if sums.is_empty() {
        sums.extend_from_slice(counts);
        return;
    }
    for (sum, count) in sums.iter_mut().flatten().zip(counts.iter().flatten()) {
        *sum += count;
    }
}
