//! The training of a stage: a run of the trainer in a directory of the stage.

use std::{path::Path, sync::Arc};

use itera_checkpoint::read_model;
use itera_metrics::read_records;
use itera_shape::NamedTensor;
use itera_trainer::{self as trainer, Resume, RunEnd};

use crate::{
    candidate::Candidate,
    design::Design,
    job::{Event, Job, OnEvent},
    method::StageMethod,
    out::Output,
    rounder::Rounder,
    sampled,
    session::Abort,
    steps::{Step, StepTraining},
    teacher::Teacher,
    training::Sampled,
};

/// How a stage trained.
pub(crate) struct Trained {
    /// Optimiser steps.
    pub steps: u64,
    /// Seconds over all interruptions.
    pub elapsed_s: f64,
    /// Step and bits per byte of each validation.
    pub curve: Vec<(u64, f64)>,
}

/// Train `candidate`, or go on with what was begun in the stage's directory. The weights are the best by validation, or the
/// last.
///
/// # Errors
/// If the training cannot be done, or a signal asks to stop.
pub(crate) fn train(
    job: &Job<'_>,
    step: &Step<'_>,
    training: &StepTraining<'_>,
    out: &Output<'_>,
    rounder: Option<&Rounder>,
    candidate: &Candidate,
    on_event: &mut OnEvent<'_>,
) -> Result<(Arc<[NamedTensor]>, Trained), Abort> {
    let dir = out.stage_dir(step.number);
    let run = job.plan.baseline.candidate();
    let teacher = training.teacher.map(|weight| Teacher::new(&run, &candidate.design, weight, job.device));
    let method = StageMethod { identity: identity(job, step.number), rounder, teacher: teacher.transpose()? };
    let with_text = match &training.settings.sampled {
        Some(sampled) => Some(with_sampled_text(job, sampled, &dir, &candidate.design, on_event)?),
        None => None,
    };
    let design = with_text.as_ref().unwrap_or(&candidate.design);
    let config = design.training_config(&job.plan.recipe.name, training.settings, &dir)?;
    let trainer_job = trainer::Job {
        resume: Resume::Last,
        stop: job.stop.clone(),
        method: &method,
        initial: (!candidate.parameters.is_empty()).then_some(&candidate.parameters),
        ..trainer::Job::new(&config, &design.data, job.device)
    };
    let outcome = trainer::train(trainer_job, &mut |event| on_event(Event::Training(event)))?;
    on_event(Event::Trained);
    if let RunEnd::Interrupted(signal) = outcome.end {
        return Err(Abort::Signal(signal));
    }
    let rows = read_records(&dir.join("metrics.jsonl"))?;
    let curve = rows.iter().filter_map(|row| Some((row.step, row.val_bpb?))).collect();
    let trained = Trained { steps: outcome.state.step, elapsed_s: outcome.state.elapsed_s, curve };
    Ok((read_model(&dir)?.tensors.into(), trained))
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
