//! recipe, baseline → what would be done, to the byte
//!
//! A kind gives a tensor its bytes whatever its numbers are, so the size of the file is known before anything is trained.

use std::path::Path;

use burn::tensor::Device;
use itera_config::Config;
use itera_shape::{NamedTensor, TensorSpec};
use itera_trainer::{Job, StepTimes, time_steps};
use serde::Serialize;

use crate::{
    Baseline, CompressError, Measure, Recipe, Result, Rounder, Teacher, TensorReport,
    artifact::Artifact,
    method::StageMethod,
    mixed::budget_bytes,
    prune::pruned_model,
    stage::{KindName, Stage, TeacherWeight},
    subject::Subject,
};

/// What a recipe would do to a run.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The stages.
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
    /// In a word.
    pub name: &'static str,
    /// Optimiser steps.
    pub steps: u64,
    /// Training tokens.
    pub tokens: u64,
    /// What it trains.
    #[serde(skip)]
    training: Option<PlannedTraining>,
}

/// What a stage would train, on what and from whom.
#[derive(Debug)]
struct PlannedTraining {
    config: Config,
    student: Subject,
    teacher: Option<(Subject, TeacherWeight)>,
}

impl PlannedStage {
    /// Do `steps` steps of its training in the empty directory `dir`, on weights that are not those it would find and
    /// without rounding them, and tell what each took.
    ///
    /// # Errors
    /// Files that cannot be written, or too many non-finite steps in a row.
    ///
    /// # Panics
    /// If it does not train.
    pub fn time_steps(&self, device: &Device, dir: &Path, steps: u64) -> Result<Vec<StepTimes>> {
        let PlannedTraining { config, student, teacher } = self.training.as_ref().expect("a stage that trains");
        let teacher = teacher.as_ref().map(|(run, weight)| Teacher::new(run, student, *weight, device)).transpose()?;
        let method = StageMethod { identity: String::new(), rounder: None, teacher };
        Ok(time_steps(Job { method: &method, ..Job::new(config, &student.data, device) }, dir, steps)?)
    }
}

impl Plan {
    /// Look ahead.
    ///
    /// # Errors
    /// If the recipe does not fit the model.
    pub fn new(recipe: &Recipe, baseline: &Baseline, allow_unsupported: bool) -> Result<Self> {
        let first = Subject::new(baseline);
        let mut subject = first.clone();
        let misfit = |problem: &str| CompressError::Misfit { recipe: recipe.name.clone(), problem: problem.into() };
        let mut stages = vec![];
        for stage in &recipe.stages {
            match stage {
                Stage::Distill(distill) => subject = subject.student(&recipe.name, distill)?,
                Stage::Prune(prune) => {
                    subject = subject.with_model(&recipe.name, pruned_model(&recipe.name, prune, subject.model())?)?;
                }
                _ => {}
            }
            let (mut steps, mut tokens, mut training) = (0, 0, None);
            if let Some(wanted) = stage.training() {
                if wanted.teacher.is_some() && !Teacher::fits(&first, &subject) {
                    return Err(misfit(
                        "a model can learn from the run if its tokens are the first of the run's, so `vocab_size` must not \
                         be larger and the run's tokenizer one that was trained on its text",
                    ));
                }
                let config = subject.training_config(wanted, Path::new("."))?;
                (steps, tokens) = (config.train.steps, config.train.steps * config.train.tokens_per_step());
                let teacher = wanted.teacher.map(|weight| (first.clone(), weight));
                training = Some(PlannedTraining { config, student: subject.clone(), teacher });
            }
            stages.push(PlannedStage { name: stage.name(), steps, tokens, training });
        }
        if subject.parameters.is_empty() {
            let zeros =
                |spec: TensorSpec| NamedTensor { data: vec![0.0; spec.n_params()], name: spec.name, shape: spec.shape };
            subject.parameters = subject.model().tensors().into_iter().map(zeros).collect();
        }
        let quantize = match recipe.stages.last() {
            Some(Stage::Quantize(quantize)) => quantize.clone(),
            Some(Stage::Mixed(mixed)) => mixed.in_kind(mixed.kinds[0].0),
            _ => unreachable!("a valid recipe ends so"),
        };
        // any rounding has the same size, so the fastest will do
        let rounder = Rounder::new(&recipe.name, &quantize, subject.model(), Measure::MinMax)?;
        let packed = rounder.pack(&subject.parameters);
        let name = artifact_name(baseline, recipe);
        let artifact = Artifact { name: &name, subject: &subject, packed: &packed, allow_unsupported };
        let mut size_bytes = artifact.size_bytes(quantize.format)? as u64;
        let mut tensors = TensorReport::of(subject.model(), &packed);
        let mut matrix_budget_bytes = None;
        if let Some(Stage::Mixed(mixed)) = recipe.stages.last() {
            for KindName(kind) in &mixed.kinds {
                let rounder = Rounder::new(&recipe.name, &mixed.in_kind(*kind), subject.model(), Measure::MinMax)?;
                let packed = rounder.pack(&subject.parameters);
                Artifact { packed: &packed, ..artifact }.size_bytes(quantize.format)?;
            }
            // which of them a matrix gets is not known before losses are measured
            let matrices = subject.model().tensors().into_iter().filter(|spec| spec.role.is_matrix());
            let matrices: Vec<String> = matrices.map(|spec| spec.name).collect();
            let of_matrices = |tensor: &TensorReport| matrices.contains(&tensor.name);
            let bytes = tensors.iter().filter(|tensor| of_matrices(tensor)).map(|tensor| tensor.size_bytes as u64);
            let most = budget_bytes(&recipe.name, mixed, subject.model())? as u64;
            size_bytes = size_bytes - bytes.sum::<u64>() + most;
            tensors.retain(|tensor| !of_matrices(tensor));
            matrix_budget_bytes = Some(most);
        }
        Ok(Self {
            stages,
            tensors,
            matrix_budget_bytes,
            size_bytes,
            times_smaller: baseline.weights_bytes as f64 / size_bytes as f64,
        })
    }
}

/// What the model of a recipe is called.
pub(crate) fn artifact_name(baseline: &Baseline, recipe: &Recipe) -> String {
    format!("{}-{}", baseline.name, recipe.name)
}
