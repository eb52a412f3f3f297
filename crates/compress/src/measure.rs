//! Measurements: a variant as it lies on disk, and what a report says of the last one.

use std::{path::Path, sync::Mutex, time::SystemTime};

use itera_formats::PackedTensor;

use crate::{
    baseline::Baseline,
    candidate::Candidate,
    inspect::{Calibration, ExpertUse, histograms},
    job::{Event, Job, OnEvent},
    report::{Metadata, Report, StageReport, TensorReport},
    rounder::Rounder,
    session::Abort,
    variant::Variant,
};

/// Tokens of training text that a report compares models on.
const REPORT_TOKENS: usize = 32_768;

/// Measure the model at `path`, beside the baseline if it is not that, and tell of it.
///
/// # Errors
/// If the model cannot be opened or run, or a signal asks to stop.
pub(crate) fn measure(
    job: &Job<'_>,
    name: &str,
    path: &Path,
    baseline: Option<&Variant>,
    on_event: &mut OnEvent<'_>,
) -> Result<Variant, Abort> {
    let documents = job.documents.len();
    let listener = Mutex::new(&mut *on_event);
    let on_done = || {
        if let Ok(mut on_event) = listener.lock() {
            on_event(Event::Scoring { documents });
        }
    };
    let mut variant = Variant::measure(name, path, baseline, job.documents, job.session(), &on_done)?;
    if baseline.is_none() {
        variant.size_bytes = job.plan.baseline.weights_bytes;
    }
    on_event(Event::Measured(&variant));
    Ok(variant)
}

/// The last model of a recipe, and how it was packed.
pub(crate) struct Finished<'a> {
    pub candidate: &'a Candidate,
    pub rounder: &'a Rounder,
    pub packed: &'a [PackedTensor],
}

impl Finished<'_> {
    /// All that there is to say, but for what kinds were chosen from.
    ///
    /// # Errors
    /// If a signal asks to stop.
    pub(crate) fn report(
        &self,
        job: &Job<'_>,
        baseline: Variant,
        stages: Vec<StageReport>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Report, Abort> {
        on_event(Event::Calibrating { tokens: REPORT_TOKENS });
        let (run, candidate) = (job.plan.baseline.candidate(), self.candidate);
        let after: Vec<Vec<f32>> = self.packed.iter().map(PackedTensor::numbers).collect();
        let calibration = Calibration::new(candidate, REPORT_TOKENS, job.session());
        Ok(Report {
            run: job.plan.baseline.name.clone(),
            tensors: TensorReport::measured(candidate.model(), self.packed, &candidate.parameters),
            sensitivities: calibration.sensitivities(self.rounder)?,
            kind_losses: vec![],
            histograms: histograms(&run, candidate, &after),
            expert_use: ExpertUse {
                before: Calibration::new(&run, REPORT_TOKENS, job.session()).expert_shares(run.values())?,
                after: calibration.expert_shares(after)?,
            },
            recipe: job.plan.recipe.clone(),
            baseline,
            stages,
            documents: job.documents.len(),
            document_bytes: job.documents.iter().map(|text| text.len() as u64).sum(),
            environment: job.environment.clone(),
        })
    }
}

impl Report {
    /// Where the artifact is from.
    pub(crate) fn metadata(&self, baseline: &Baseline) -> Metadata {
        let artifact = self.stages.last().map_or(&self.baseline, |stage| &stage.variant);
        Metadata {
            recipe: self.recipe.clone(),
            baseline_sha256: baseline.weights_sha256.clone(),
            bytes_before: self.baseline.size_bytes,
            bytes_after: artifact.size_bytes,
            bits_per_byte_before: self.baseline.bits_per_byte,
            bits_per_byte_after: artifact.bits_per_byte,
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            itera_version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
