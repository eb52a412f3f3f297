//! baseline → stage by stage → artifact, each scored as it lies on disk
//!
//! ```text
//! Step ─▶ act ─▶ train ─▶ pack ─▶ write ─▶ measure ─▶ within its limit? ─▶ next step, or the artifact
//! ```

use std::{collections::HashSet, time::Instant};

use itera_files::publish;
use itera_formats::PackedTensor;

use crate::{
    artifact::Artifact,
    candidate::Candidate,
    error::{CompressError, Result},
    fisher,
    format::Format,
    inspect::Calibration,
    job::{Event, Job, OnEvent, Outcome},
    measure::{Finished, measure},
    mixed::{self, KindLosses},
    out::Output,
    part::Part,
    prune::Ranking,
    report::{Report, StageReport, TrainingReport},
    rounder::{Measure, Rounder},
    session::{Abort, Session},
    stage::{Action, Importance, Rounding},
    steps::Step,
    temperature::best_temperature,
    train,
};

/// Carry out a recipe.
///
/// # Errors
/// If a stage fails or costs more than its limit, or a file cannot be written.
pub fn compress(job: &Job<'_>, on_event: &mut OnEvent<'_>) -> Result<Outcome> {
    // what a temperature is found on tells nothing of it
    let calibration = match job.plan.recipe.calibration_documents() {
        0 => vec![],
        count => job.plan.baseline.held_out(count)?,
    };
    let left_out: HashSet<&str> = calibration.iter().map(String::as_str).collect();
    let documents: Vec<&str> = job.documents.iter().copied().filter(|text| !left_out.contains(text)).collect();
    if documents.is_empty() {
        return Err(CompressError::NoDocuments);
    }
    let (resume, environment, stop) = (job.resume.clone(), job.environment.clone(), job.stop.clone());
    let job = Job { documents: &documents, resume, environment, stop, ..*job };
    match run(&job, &calibration, on_event) {
        Ok(report) => Ok(Outcome::Finished(Box::new(report))),
        Err(Abort::Stop(cause)) => Ok(Outcome::Interrupted(cause)),
        Err(Abort::Failure(error)) => Err(error),
    }
}

/// Do all that the job asks for.
///
/// # Errors
/// If a stage fails or costs more than its limit, a file cannot be written, or a signal asks to stop.
fn run(job: &Job<'_>, calibration: &[String], on_event: &mut OnEvent<'_>) -> Result<Report, Abort> {
    let plan = job.plan;
    let out = Output::new(job.out, plan)?;
    out.prepare(&job.resume)?;
    let baseline = measure(job, "baseline", &plan.baseline.dir, None, on_event)?;

    let mut candidate = plan.baseline.candidate();
    let mut before = plan.baseline.dir.clone();
    let (mut stages, mut left, mut packing): (_, _, Option<Packing>) = (vec![], vec![], None);
    for step in &plan.steps {
        on_event(Event::Stage {
            number: step.number,
            total: plan.steps.len(),
            name: step.stage.action.name(),
            teacher: step.choice.as_ref(),
        });
        let started = Instant::now();
        let acted = act(job, step, candidate, on_event)?;
        candidate = acted.candidate;
        let mut temperature = None;
        if let Action::Calibrate(calibrate) = &step.stage.action {
            let texts = &calibration[..calibrate.documents.min(calibration.len())];
            let values = packing.as_ref().map_or_else(|| candidate.values(), Packing::numbers);
            let found = best_temperature(&candidate, values, texts, job.session())?;
            on_event(Event::Tempered { documents: texts.len(), temperature: found });
            candidate.design.config.model.logits_scaling *= found;
            temperature = Some(found);
        }
        let acted_s = started.elapsed().as_secs_f64();
        let (mut parameters, mut trained, mut others) = (None, TrainingReport::default(), vec![]);
        let total = step.trainings.len();
        for (number, training) in (1..).zip(&step.trainings) {
            if total > 1 {
                on_event(Event::Part { number, total, name: &training.part.to_string() });
            }
            let (rounder, candidate) = (acted.rounder.as_ref(), &candidate);
            let stage = train::Course { job, step, out: &out, rounder, candidate, left: &left };
            let (weights, report) = stage.train(training, on_event)?;
            match training.part {
                Part::Member { .. } if parameters.is_none() => (parameters, trained) = (Some(weights), report),
                _ => others.push(report),
            }
        }
        candidate.parameters = parameters.unwrap_or(candidate.parameters);
        left.push(candidate.clone());
        if let Some(rounder) = acted.rounder {
            let packed = pack(&rounder, &candidate, job.session())?;
            packing = Some(Packing { rounder, packed, kind_losses: acted.kind_losses });
        }
        let (action, name) = (&step.stage.action, plan.artifact_name());
        let artifact = Artifact {
            name: &name,
            model: candidate.design.model(),
            tokenizer: &candidate.design.data.tokenizer,
            allow_unsupported: plan.allow_unsupported,
        };
        let format = if packing.is_some() { plan.recipe.format() } else { Format::Gguf };
        let mut path = format.staging(&out.stage_dir(step.number));
        match &packing {
            Some(packing) => artifact.write(&packing.packed, &path, format)?,
            None => artifact.write(&candidate.unpacked()?, &path, format)?,
        }
        let mut variant = measure(job, action.name(), &path, Some(&baseline), on_event)?;
        let loss_percent = variant.loss_percent;
        let too_lossy = |limit: &f64| loss_percent > *limit || loss_percent.is_nan();
        if let Some(limit_percent) = step.stage.max_loss_percent.filter(too_lossy) {
            let (stage, name) = (step.number, action.name());
            return Err(CompressError::TooLossy { stage, name, loss_percent, limit_percent, before }.into());
        }
        if step.number == plan.steps.len() {
            let artifact = out.artifact();
            publish(&path, &artifact)?;
            (path, variant.path) = (artifact.clone(), artifact);
        }
        before = path;
        let elapsed_s = match total {
            0 => acted_s,
            _ => others.iter().chain([&trained]).map(|training| training.elapsed_s).sum(),
        };
        let (TrainingReport { steps, curve, .. }, teacher) = (trained, step.choice.clone());
        stages.push(StageReport { variant, steps, teacher, temperature, elapsed_s, curve, others });
    }
    let Packing { rounder, packed, kind_losses } = packing.expect("a valid recipe rounds");
    let finished = Finished { candidate: &candidate, rounder: &rounder, packed: &packed };
    let report = Report { kind_losses, ..finished.report(job, baseline, stages, on_event)? };
    report.write(job.out)?;
    report.metadata(plan.baseline).write(job.out)?;
    Ok(report)
}

/// What rounding left.
struct Packing {
    rounder: Rounder,
    packed: Vec<PackedTensor>,
    kind_losses: Vec<KindLosses>,
}

impl Packing {
    /// What the packed tensors stand for.
    fn numbers(&self) -> Vec<Vec<f32>> {
        self.packed.iter().map(PackedTensor::numbers).collect()
    }
}

/// A model after the action of a stage, before it trains.
struct Acted {
    /// Weights are those before the action where that only says how to round; none of a student.
    candidate: Candidate,
    /// How to round, if the stage does.
    rounder: Option<Rounder>,
    /// What the kinds of matrices were chosen from; empty unless they were.
    kind_losses: Vec<KindLosses>,
}

/// Do what a stage does before it trains.
fn act(job: &Job<'_>, step: &Step<'_>, candidate: Candidate, on_event: &mut OnEvent<'_>) -> Result<Acted, Abort> {
    let (recipe, session) = (&job.plan.recipe.name, job.session());
    let (mut parameters, mut rounder, mut kind_losses) = (candidate.parameters.clone(), None, vec![]);
    let mut design = step.design.clone();
    design.config.model.logits_scaling = candidate.model().logits_scaling;
    match &step.stage.action {
        Action::Finetune {} | Action::Calibrate(_) => {}
        Action::Distill(_) => {
            // another model: nothing is known of its temperature
            design = step.design.clone();
            parameters = [].into();
        }
        Action::Prune(prune) => {
            let tokens = prune.calibration_tokens;
            on_event(Event::Calibrating { tokens });
            let mut on_done = |done, total| on_event(Event::Weighing { what: "units", done, total });
            let ranking = match prune.importance {
                Importance::Saliency => Ranking::Saliency(fisher::importance(&candidate, tokens, session)?),
                Importance::Loss => {
                    let calibration = Calibration::new(&candidate, tokens, session);
                    Ranking::Loss { calibration, on_done: &mut on_done }
                }
            };
            parameters = candidate.pruned(prune, &step.design, ranking)?.into();
        }
        Action::Quantize(quantize) => {
            let tokens = quantize.calibration_tokens;
            let measure = rounding_measure(quantize.rounding, tokens, &candidate, session, on_event)?;
            rounder = Some(Rounder::new(recipe, quantize, candidate.model(), measure)?);
        }
        Action::Mixed(mixed) => {
            let tokens = mixed.calibration_tokens;
            let measure = rounding_measure(mixed.rounding, tokens, &candidate, session, on_event)?;
            on_event(Event::Calibrating { tokens });
            let calibration = Calibration::new(&candidate, tokens, session);
            let mut on_done = |done, total| on_event(Event::Weighing { what: "kinds", done, total });
            let (quantize, losses) = mixed::choose(recipe, mixed, &calibration, &measure, &mut on_done)?;
            kind_losses = losses;
            rounder = Some(Rounder::new(recipe, &quantize, candidate.model(), measure)?);
        }
    }
    Ok(Acted { candidate: Candidate { design, parameters }, rounder, kind_losses })
}

/// What a rounding keeps small, measured where the rounding asks for that.
fn rounding_measure(
    rounding: Rounding,
    tokens: usize,
    candidate: &Candidate,
    session: Session<'_>,
    on_event: &mut OnEvent<'_>,
) -> Result<Measure, Abort> {
    let mut calibrating = || on_event(Event::Calibrating { tokens });
    Ok(match rounding {
        Rounding::MinMax => Measure::MinMax,
        Rounding::Mse => Measure::Mse,
        Rounding::Fisher => {
            calibrating();
            Measure::Fisher(fisher::importance(candidate, tokens, session)?)
        }
        Rounding::Gptq => {
            calibrating();
            Measure::Gptq(fisher::feedback(candidate, tokens, session)?)
        }
    })
}

/// The weights as the file holds them.
fn pack(rounder: &Rounder, candidate: &Candidate, session: Session<'_>) -> Result<Vec<PackedTensor>, Abort> {
    let pack = |(index, parameter)| session.proceed().and_then(|()| Ok(rounder.pack_tensor(index, parameter)?));
    candidate.parameters.iter().enumerate().map(pack).collect()
}
