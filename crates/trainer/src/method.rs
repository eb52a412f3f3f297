//! What a run computes with, and what it minimises, where that is not simply its weights and their cross-entropy.
//!
//! ```text
//! weights that are kept ──weights──▶ weights that are computed with ──losses──▶ LossParts
//!          ▲                                                                        │
//!          └──────────────── AdamW ◀── gradients with respect to those ◀────────────┘
//! ```

use itera_config::TrainConfig;
use itera_data::TokenBatch;
use itera_model::{Dropout, LanguageModel};
use itera_shape::NamedTensor;

use crate::objective::{LossParts, losses};

/// How a run learns.
pub trait Method: Sync {
    /// All that decides the result beyond configuration and data, in a line. A checkpoint resumes only under the same.
    fn identity(&self) -> String;

    /// The values that the model computes with, one vector for each of `kept` in its order; `None` for `kept` itself.
    ///
    /// Gradients with respect to these move those: the straight-through estimator (arXiv 1308.3432). Validation, samples
    /// and early stopping see the model as it computes; checkpoints hold what is kept.
    fn weights(&self, kept: &[NamedTensor]) -> Option<Vec<Vec<f32>>> {
        let _ = kept;
        None
    }

    /// The loss of a batch.
    fn losses(
        &self,
        model: &LanguageModel,
        batch: &TokenBatch,
        config: &TrainConfig,
        dropout: Option<&mut Dropout>,
    ) -> LossParts {
        losses(model, batch, config, dropout)
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
