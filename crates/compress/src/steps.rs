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

use crate::{
    baseline::Baseline,
    design::Design,
    error::{CompressError, Result},
    lesson::{Lesson, TeacherChoice},
    misfit::Misfit,
    part::Part,
    prune::pruned_model,
    recipe::Recipe,
    stage::{Action, Stage},
    teacher::Teacher,
    training::Training,
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
    /// How it trains, in order; empty if it does not.
    pub trainings: Vec<StepTraining<'a>>,
    /// Who teaches it, where the recipe names a teacher.
    pub choice: Option<TeacherChoice>,
}

/// A training of a stage.
#[derive(Debug)]
pub(crate) struct StepTraining<'a> {
    /// Which of them.
    pub part: Part,
    /// As the recipe has it.
    pub settings: &'a Training,
    /// The configuration, but for its directory and text that is still to be written.
    pub config: Config,
    /// Whom it learns from beside text, if anybody.
    pub lesson: Option<Lesson>,
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
            Action::Distill(distill) => design.student(recipe, &recipe.artifact_name(&baseline.name), distill)?,
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
        let choice = stage.train.as_ref().and_then(|of| of.teacher).map(|of| TeacherChoice::new(of, baseline));
        let mut step = Step { number, stage, design: design.clone(), trainings: vec![], choice };
        step.trainings = trainings(recipe, &step, &steps, baseline)?;
        steps.push(step);
    }
    Ok(steps)
}

/// All trainings of the stage of `step`, which follows the steps `before`.
fn trainings<'a>(
    recipe: &'a Recipe,
    step: &Step<'a>,
    before: &[Step<'a>],
    baseline: &Baseline,
) -> Result<Vec<StepTraining<'a>>> {
    let Some(settings) = &step.stage.train else { return Ok(vec![]) };
    let taught = step.choice.as_ref().is_some_and(|choice| choice.teacher.is_some());
    let first = settings.teacher.filter(|_| taught).map(Lesson::of);
    if let Some(teaching) = settings.teacher.filter(|_| taught) {
        let teacher = teaching.stage.map_or(&baseline.data, |number| &before[number - 1].design.data);
        if !Teacher::fits(&teacher.tokenizer, &step.design.data.tokenizer) {
            return Err(CompressError::misfit(&recipe.name, Misfit::Teacher));
        }
        let (documents, folds) = (step.design.data.summary.corpus.train.documents, teaching.folds);
        if documents < folds as u64 {
            return Err(CompressError::misfit(&recipe.name, Misfit::Folds { documents, folds }));
        }
    }
    let generations = step.stage.generations();
    let training = |part: Part| {
        let mut config = step.design.training_config(&recipe.name, settings, Path::new("."))?;
        config.run.seed = part.seed(config.run.seed, generations);
        let generation = if let Part::Generation(generation) = part { generation } else { generations };
        let lesson = match generation {
            1 => first.clone(),
            later => Some(Lesson::of_generation(settings.teacher, step.number, later - 1)),
        };
        Ok(StepTraining { part, settings, config, lesson })
    };
    Part::all(&recipe.stages, step.number).into_iter().map(training).collect()
}
