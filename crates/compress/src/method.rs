//! How a stage trains: through the rounding of the file, from a teacher, both or neither.

use itera_ops::mean;
use itera_shape::NamedTensor;
use itera_trainer::{LossParts, Method, MicroBatch, losses_with};

use crate::{rounder::Rounder, teacher::Teacher};

/// Training of one stage.
pub(crate) struct StageMethod<'a> {
    /// What a resumed stage must have in common with this one.
    pub identity: String,
    /// The rounding to train through (QAT, arXiv 1712.05877).
    pub rounder: Option<&'a Rounder>,
    /// Whom to learn from.
    pub teacher: Option<Teacher>,
}

impl Method for StageMethod<'_> {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn weights(&self, master: &[NamedTensor]) -> Option<Vec<Vec<f32>>> {
        self.rounder.map(|rounder| rounder.computed(master))
    }

    fn losses(&self, batch: MicroBatch<'_>) -> LossParts {
        let MicroBatch { model, tokens, .. } = batch;
        losses_with(batch, &|hidden, nats| match &self.teacher {
            None => mean(nats),
            Some(teacher) => teacher.loss(model, tokens, hidden, nats),
        })
    }
}
