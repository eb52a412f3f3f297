//! What a run computes with, and what it minimises, where that is not simply its weights and their cross-entropy.
//!
//! ```text
//! weights that are kept ──weights──▶ weights that are computed with ──losses──▶ LossParts
//!          ▲                                                                        │
//!          └──────────────── AdamW ◀── gradients with respect to those ◀────────────┘
//! ```

use itera_shape::NamedTensor;

use crate::{
    losses::LossParts,
    objective::{MicroBatch, losses},
};

/// How a run learns.
pub trait Method: Sync {
    /// All that decides the result beyond configuration and data, in a line. A checkpoint resumes only under the same.
    fn identity(&self) -> String;

    /// The values that the model computes with: for each of `kept`, which are in the order of the tensor table, as many as
    /// it has. `None` stands for `kept` itself.
    ///
    /// Gradients with respect to these move those: the straight-through estimator (arXiv 1308.3432). Validation, samples
    /// and early stopping see the model as it computes; checkpoints hold what is kept.
    fn weights(&self, kept: &[NamedTensor]) -> Option<Vec<Vec<f32>>> {
        let _ = kept;
        None
    }

    /// The loss of a micro-batch, its parts means over tokens. The trainer minimises the mean of `total` over the
    /// micro-batches of a step.
    fn losses(&self, batch: MicroBatch<'_>) -> LossParts {
        losses(batch)
    }
}

/// Nothing but training.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Method for Plain {
    fn identity(&self) -> String {
        String::new()
    }
}
