//! recipe, baseline → what each stage means for this model: the one reading of a recipe
//!
//! ```text
//! Stage ─▶ Step: the design that it leaves, the configuration it trains with, who teaches ─┬─▶ Plan   (sizes, times)
//!                                                                                          └─▶ run    (weights)
//! ```
//!
//! None of it depends on weights, so a plan and a run have the same steps, and what does not fit is found before any work.

use std::path::Path;

use itera_config::Config;
use serde::{Deserialize, Serialize};

use crate::{
    baseline::Baseline,
    design::Design,
    error::{CompressError, Result},
    misfit::Misfit,
    prune::pruned_model,
    recipe::Recipe,
    stage::{Action, Stage},
    teacher::Teacher,
    training::{TeacherWeight, Training},
};

/// A stage, and what it means for the model that is compressed.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    /// From 1.
    pub number: usize,
    /// As the recipe has it.
    pub stage: &'a Stage,
    /// The model that it leaves.
    pub design: Design,
    /// How it trains.
    pub training: Option<StepTraining<'a>>,
}

/// The training of a stage.
#[derive(Debug)]
pub(crate) struct StepTraining<'a> {
    /// As the recipe has it.
    pub settings: &'a Training,
    /// The configuration, but for its directory and text that is still to be written.
    pub config: Config,
    /// Whom it learns from beside text, if anybody.
    pub teacher: Option<TeacherWeight>,
    /// How that was decided, where the recipe names a teacher.
    pub choice: Option<TeacherChoice>,
}

/// Whether the run teaches a stage whose recipe asks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherChoice {
    /// The run teaches; otherwise text alone does.
    pub run_teaches: bool,
    /// What that follows from.
    pub reason: String,
}

/// The steps of `recipe` for `baseline`.
///
/// # Errors
/// If a stage does not fit the model that it would get, or the data cannot be prepared for the one that it leaves.
pub(crate) fn steps<'a>(recipe: &'a Recipe, baseline: &Baseline) -> Result<Vec<Step<'a>>> {
    let mut design = baseline.design();
    let mut steps = vec![];
    for (number, stage) in (1..).zip(&recipe.stages) {
        design = match &stage.action {
            Action::Distill(distill) => design.student(&recipe.name, distill)?,
            Action::Prune(prune) => {
                design.with_model(&recipe.name, pruned_model(&recipe.name, prune, design.model())?)?
            }
            Action::Finetune {} | Action::Quantize(_) | Action::Mixed(_) => design,
            Action::Calibrate(_) => {
                let documents = baseline.data.summary.corpus.valid.documents;
                if documents < 2 {
                    return Err(CompressError::misfit(&recipe.name, Misfit::HeldOut { documents }));
                }
                design
            }
        };
        let training = stage.train.as_ref().map(|settings| StepTraining::new(recipe, settings, &design, baseline));
        steps.push(Step { number, stage, design: design.clone(), training: training.transpose()? });
    }
    Ok(steps)
}

impl<'a> StepTraining<'a> {
    fn new(recipe: &Recipe, settings: &'a Training, design: &Design, baseline: &Baseline) -> Result<Self> {
        let config = design.training_config(&recipe.name, settings, Path::new("."))?;
        let choice = settings.teacher.map(|teacher| TeacherChoice::new(teacher, baseline));
        let teacher = settings.teacher.filter(|_| choice.as_ref().is_some_and(|choice| choice.run_teaches));
        if teacher.is_some() && !Teacher::fits(&baseline.data.tokenizer, &design.data.tokenizer) {
            return Err(CompressError::misfit(&recipe.name, Misfit::Teacher));
        }
        Ok(Self { settings, config, teacher, choice })
    }
}

impl TeacherChoice {
    fn new(teacher: TeacherWeight, baseline: &Baseline) -> Self {
        match teacher.auto {
            true => Self { run_teaches: baseline.maturity.is_ripe(), reason: baseline.maturity.to_string() },
            false => Self { run_teaches: true, reason: "the recipe says so".into() },
        }
    }
}
