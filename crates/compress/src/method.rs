//! How a stage trains: through the rounding of the file, from a teacher, both or neither.

use burn::tensor::{Device, Tensor};
use itera_config::TrainConfig;
use itera_data::TokenBatch;
use itera_model::{Dropout, LanguageModel, Parameter};
use itera_trainer::{LossParts, Method, ids, losses_with};

use crate::{Result, Rounder, stage::TeacherWeight, subject::Subject};

/// A model that shows another what to predict.
pub(crate) struct Teacher {
    model: LanguageModel,
    weight: f64,
    temperature: f64,
}

impl Teacher {
    /// The model of `subject`, as it is.
    pub(crate) fn new(subject: &Subject, weight: TeacherWeight, device: &Device) -> Result<Self> {
        let model = LanguageModel::from_values(subject.model(), device, subject.values())?;
        Ok(Self { model, weight: weight.weight, temperature: weight.temperature })
    }
}

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

    fn weights(&self, kept: &[Parameter]) -> Option<Vec<Vec<f32>>> {
        self.rounder.map(|rounder| rounder.computed(kept))
    }

    fn losses(
        &self,
        model: &LanguageModel,
        batch: &TokenBatch,
        config: &TrainConfig,
        dropout: Option<&mut Dropout>,
    ) -> LossParts {
        losses_with(model, batch, config, dropout, &|hidden, cross_entropy| match &self.teacher {
            None => cross_entropy,
            Some(teacher) => {
                let Teacher { model: teacher, weight, temperature } = teacher;
                let inputs = ids(batch, &batch.inputs, &teacher.device());
                let shown = teacher.forward(inputs, teacher.initial_state(batch.batch_size), None).hidden;
                let divergence: Tensor<1> = model.divergence(hidden, teacher, shown, *temperature);
                cross_entropy.mul_scalar(1.0 - weight) + divergence.mul_scalar(*weight)
            }
        })
    }
}
