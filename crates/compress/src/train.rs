//! The training of a stage: a run of the trainer in a directory of the stage.

use std::{path::Path, sync::Arc};

use itera_checkpoint::read_model;
use itera_metrics::read_records;
use itera_shape::NamedTensor;
use itera_trainer::{self as trainer, Resume, RunEnd};

use crate::{
    candidate::Candidate,
    design::Design,
    error,
    job::{Event, Job, OnEvent},
    lesson::Source,
    method::StageMethod,
    out::Output,
    part::Part,
    report::TrainingReport,
    rounder::Rounder,
    sampled,
    session::Abort,
    steps::{Step, StepTraining},
    teacher::Teacher,
    training::Sampled,
};

/// A stage whose action is done, and what its trainings find.
pub(crate) struct Course<'a> {
    pub job: &'a Job<'a>,
    pub step: &'a Step<'a>,
    pub out: &'a Output<'a>,
    /// The rounding to train through.
    pub rounder: Option<&'a Rounder>,
    /// What trainings begin with.
    pub candidate: &'a Candidate,
    /// What earlier stages left.
    pub left: &'a [Candidate],
}

impl Course<'_> {
    /// Do `training`, or go on with what was begun of it. The weights are the best by validation, or the last.
    ///
    /// # Errors
    /// If the training cannot be done, or a signal asks to stop.
    pub(crate) fn train(
        &self,
        training: &StepTraining<'_>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<(Arc<[NamedTensor]>, TrainingReport), Abort> {
        let Self { job, step, candidate, .. } = *self;
        let dir = self.out.part_dir(step.number, training.part);
        let mut design = candidate.design.clone();
        if let Some(sampled) = &training.settings.sampled {
            design = with_sampled_text(job, sampled, &self.out.stage_dir(step.number), &design, on_event)?;
        }
        if let Some(fold) = training.part.fold() {
            // all members of a fold read the same
            let first = Part::Member { member: 1, fold: Some(fold) };
            design = design.without_fold(fold, &self.out.part_dir(step.number, first))?;
        }
        let find = |source| self.teacher(source);
        let teacher = training.lesson.as_ref().map(|lesson| Teacher::new(lesson, find, &design, job.device));
        let (identity, rounder) = (identity(job, step.number), self.rounder);
        let method = StageMethod { identity, rounder, teacher: teacher.transpose()? };
        let mut config = design.training_config(&job.plan.recipe.name, training.settings, &dir)?;
        config.run.seed = training.config.run.seed;
        let trainer_job = trainer::Job {
            resume: Resume::Last,
            stop: job.stop.clone(),
            method: &method,
            initial: (!candidate.parameters.is_empty()).then_some(&candidate.parameters),
            ..trainer::Job::new(&config, &design.data, job.device)
        };
        let outcome = trainer::train(trainer_job, &mut |event| on_event(Event::Training(event)))?;
        on_event(Event::Trained);
        if let RunEnd::Interrupted(cause) = outcome.end {
            return Err(Abort::Stop(cause));
        }
        let rows = read_records(&dir.join("metrics.jsonl"))?;
        let curve = rows.iter().filter_map(|row| Some((row.step, row.val_bpb?))).collect();
        let (name, steps, elapsed_s) = (training.part.to_string(), outcome.state.step, outcome.state.elapsed_s);
        Ok((read_model(&dir)?.tensors.into(), TrainingReport { name, steps, elapsed_s, curve }))
    }

    /// The model that `source` names.
    fn teacher(&self, source: Source) -> error::Result<Candidate> {
        Ok(match source {
            Source::Run => self.job.plan.baseline.candidate(),
            Source::Stage { number, part: Part::OWN } => self.left[number - 1].clone(),
            Source::Stage { number, part } => {
                // an earlier generation is of the shape of its student
                let design = self.left.get(number - 1).unwrap_or(self.candidate).design.clone();
                Candidate { design, parameters: read_model(&self.out.part_dir(number, part))?.tensors.into() }
            }
        })
    }
}

/// What the training of the stage with this number depends on beyond its configuration and data.
fn identity(job: &Job<'_>, number: usize) -> String {
    let stages = serde_json::to_string(&job.plan.recipe.stages[..number]).unwrap_or_default();
    format!("{stages} on weights {}", job.plan.baseline.weights_sha256)
}

/// `design` with text by the baseline, which is written if it is not there.
fn with_sampled_text(
    job: &Job<'_>,
    sampled: &Sampled,
    dir: &Path,
    design: &Design,
    on_event: &mut OnEvent<'_>,
) -> Result<Design, Abort> {
    let documents = dir.with_added_extension("sampled.jsonl");
    // it was written whole, or is not there
    if !documents.exists() {
        let mut on_bytes = |bytes| on_event(Event::Sampling { bytes, total: sampled.bytes });
        sampled::write_documents(&documents, job.plan.baseline, sampled, job.session(), &mut on_bytes)?;
    }
    Ok(design.with_text(&documents, &dir.with_added_extension("tokenizer.json"))?)
}
