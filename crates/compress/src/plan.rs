//! recipe, baseline → what would be done, to the byte
//!
//! A kind gives a tensor its bytes whatever its numbers are, so the size of the file is known before anything is trained.

use std::path::Path;

use burn::tensor::Device;
use itera_formats::Kind;
use itera_model::LanguageModel;
use itera_shape::ModelConfig;
use itera_trainer::{Job, StepTimes, time_steps};
use serde::Serialize;

use crate::{
    artifact::Artifact,
    baseline::Baseline,
    candidate::Candidate,
    error::Result,
    lesson::{Source, TeacherChoice},
    method::StageMethod,
    mixed::budget_bytes,
    recipe::Recipe,
    report::TensorReport,
    rounder::kinds_of,
    stage::{Action, KindName, Quantize},
    steps::{Step, steps},
    teacher::Teacher,
};

/// What a recipe would do to a run.
#[derive(Debug, Serialize)]
pub struct Plan<'a> {
    #[serde(skip)]
    pub(crate) recipe: &'a Recipe,
    #[serde(skip)]
    pub(crate) baseline: &'a Baseline,
    #[serde(skip)]
    pub(crate) allow_unsupported: bool,
    #[serde(skip)]
    pub(crate) steps: Vec<Step<'a>>,
    /// The stages, in order.
    pub stages: Vec<PlannedStage>,
    /// The tensors of the file whose kind is known beforehand.
    pub tensors: Vec<TensorReport>,
    /// Most bytes of the others, where kinds are chosen by measured losses.
    pub matrix_budget_bytes: Option<u64>,
    /// Bytes of the file, or the most that they can be.
    pub size_bytes: u64,
    /// How often it goes into the baseline's weights in f32.
    pub times_smaller: f64,
}

/// What a stage would do.
#[derive(Debug, Serialize)]
pub struct PlannedStage {
    /// What recipes call it.
    pub name: &'static str,
    /// The shape that it chose for a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelConfig>,
    /// How often it trains.
    pub trainings: usize,
    /// Optimiser steps of each training; 0 if there is none.
    pub steps: u64,
    /// Training tokens of all together.
    pub tokens: u64,
    /// Who teaches it, where the recipe names a teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherChoice>,
}

impl<'a> Plan<'a> {
    /// Look ahead. With `allow_unsupported` also to a file that llama.cpp cannot run.
    ///
    /// # Errors
    /// If the recipe does not fit the model, or data cannot be prepared for a smaller vocabulary.
    pub fn new(recipe: &'a Recipe, baseline: &'a Baseline, allow_unsupported: bool) -> Result<Self> {
        let steps = steps(recipe, baseline)?;
        let stages = steps.iter().map(PlannedStage::new).collect();
        let last = steps.iter().rfind(|step| step.stage.action.rounding().is_some()).expect("a valid recipe rounds");
        let name = recipe.artifact_name(&baseline.name);
        let artifact = |stage: &Quantize| -> Result<(Vec<Kind>, u64)> {
            let kinds = kinds_of(&recipe.name, stage, last.design.model())?;
            let artifact = Artifact {
                name: &name,
                model: last.design.model(),
                tokenizer: &last.design.data.tokenizer,
                allow_unsupported,
            };
            let bytes = artifact.size_bytes(&kinds, stage.format)?;
            Ok((kinds, bytes as u64))
        };
        let (tensors, size_bytes, matrix_budget_bytes) = match &last.stage.action {
            Action::Mixed(mixed) => {
                // any of them may be asked for, so the file must be able to have each
                let all = mixed.kinds.iter().map(|KindName(kind)| artifact(&mixed.in_kind(*kind)));
                let (kinds, bytes) = all.collect::<Result<Vec<_>>>()?.swap_remove(0);
                let (matrices, others): (Vec<_>, Vec<_>) = last
                    .design
                    .model()
                    .tensors()
                    .into_iter()
                    .zip(TensorReport::of(last.design.model(), &kinds))
                    .partition(|(spec, _)| spec.role.is_matrix());
                // which of the kinds a matrix gets is not known before losses are measured
                let of_matrices: usize = matrices.iter().map(|(_, tensor)| tensor.size_bytes).sum();
                let budget = budget_bytes(&recipe.name, mixed, last.design.model())? as u64;
                let tensors = others.into_iter().map(|(_, tensor)| tensor).collect();
                (tensors, bytes - of_matrices as u64 + budget, Some(budget))
            }
            Action::Quantize(quantize) => {
                let (kinds, bytes) = artifact(quantize)?;
                (TensorReport::of(last.design.model(), &kinds), bytes, None)
            }
            _ => unreachable!("it rounds"),
        };
        let times_smaller = baseline.weights_bytes as f64 / size_bytes as f64;
        Ok(Self {
            recipe,
            baseline,
            allow_unsupported,
            steps,
            stages,
            tensors,
            matrix_budget_bytes,
            size_bytes,
            times_smaller,
        })
    }

    /// Do `steps` steps of a training of the stage at `index` in the empty directory `dir`, on weights that are not those
    /// it would find and without rounding them, and tell what each took.
    ///
    /// # Errors
    /// Files that cannot be written, or too many non-finite steps in a row.
    ///
    /// # Panics
    /// If there is no such stage, or no such training of it.
    pub fn time_steps(
        &self,
        index: usize,
        training: usize,
        device: &Device,
        dir: &Path,
        steps: u64,
    ) -> Result<Vec<StepTimes>> {
        let step = &self.steps[index];
        let training = &step.trainings[training];
        let model = |source: Source| {
            let Source::Stage { number, .. } = source else { return Ok(self.baseline.candidate()) };
            let design = self.steps[number - 1].design.clone();
            let model = LanguageModel::init(design.model(), design.config.run.seed, device);
            Ok(Candidate { parameters: model.parameters().into(), design })
        };
        let teacher = training.lesson.as_ref().map(|lesson| Teacher::new(lesson, model, &step.design, device));
        let teacher = teacher.transpose()?;
        let method = StageMethod { identity: String::new(), rounder: None, teacher };
        let job = Job { method: &method, ..Job::new(&training.config, &step.design.data, device) };
        Ok(time_steps(job, dir, steps)?)
    }

    /// What the model of the recipe is called.
    pub(crate) fn artifact_name(&self) -> String {
        self.recipe.artifact_name(&self.baseline.name)
    }
}

impl PlannedStage {
    fn new(step: &Step<'_>) -> Self {
        let trainings = step.trainings.len();
        let steps = step.trainings.first().map_or(0, |training| training.config.train.steps);
        let tokens = step.trainings.iter().map(|of| of.config.train.steps * of.config.train.tokens_per_step()).sum();
        let has_chosen = matches!(&step.stage.action, Action::Distill(distill) if distill.budget.is_some());
        let model = has_chosen.then(|| step.design.model().clone());
        Self { name: step.stage.action.name(), model, trainings, steps, tokens, teacher: step.choice.clone() }
    }
}
