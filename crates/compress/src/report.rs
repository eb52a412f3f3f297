//! What a recipe did, in numbers that were measured: `report.json`, `.csv`, `.html`, `compression_metadata.json`.

use std::path::Path;

use itera_files::write_atomic;
use itera_formats::{Kind, PackedTensor};
use itera_metrics::Environment;
use itera_shape::{ModelConfig, NamedTensor, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    inspect::{ExpertUse, Histogram, Sensitivity},
    lesson::TeacherChoice,
    mixed::{KindLosses, bytes_of},
    recipe::Recipe,
    variant::Variant,
};

/// Everything that a recipe has to say at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the run that was compressed.
    pub run: String,
    /// The recipe as it was read, builtin or from a file.
    pub recipe: Recipe,
    /// The run before the first stage.
    pub baseline: Variant,
    /// What each stage left, the last of which is the artifact.
    pub stages: Vec<StageReport>,
    /// Every tensor of the artifact.
    pub tensors: Vec<TensorReport>,
    /// What rounding each group alone costs.
    pub sensitivities: Vec<Sensitivity>,
    /// What each matrix loses by each kind, where kinds were chosen by measured losses; `weighed` in JSON.
    #[serde(default, rename = "weighed", skip_serializing_if = "Vec::is_empty")]
    pub kind_losses: Vec<KindLosses>,
    /// How weights were spread, and are.
    pub histograms: Vec<Histogram>,
    /// Where tokens went, and go.
    pub expert_use: ExpertUse,
    /// Documents that bits per byte were measured on, and their bytes.
    pub documents: usize,
    /// Bytes of those.
    pub document_bytes: u64,
    /// Machine and versions.
    pub environment: Environment,
}

/// What a stage left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// The model.
    #[serde(flatten)]
    pub variant: Variant,
    /// Optimiser steps of that; 0 if it does not train.
    pub steps: u64,
    /// Who taught it, where the recipe names a teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherChoice>,
    /// What logits are divided by since, beside what they were divided by before; absent unless it was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Seconds of work, over all interruptions and trainings.
    pub elapsed_s: f64,
    /// Validation while it trained: step and bits per byte.
    pub curve: Vec<(u64, f64)>,
    /// What it trained beside the model that it left: earlier generations, and models that teach others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<TrainingReport>,
}

/// A training of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingReport {
    /// `generation-1`, `member-2`, `fold-1-of-2`, `fold-1-of-2.member-2`; empty for the stage's own model.
    pub name: String,
    /// Optimiser steps.
    pub steps: u64,
    /// Seconds, over all interruptions.
    pub elapsed_s: f64,
    /// Validation while it trained: step and bits per byte.
    pub curve: Vec<(u64, f64)>,
}

/// A tensor of the artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorReport {
    /// Its name in the tensor table.
    pub name: String,
    /// What it does, as recipes say it.
    pub role: String,
    /// How its numbers are stored.
    pub kind: String,
    /// How many numbers it has.
    pub params: usize,
    /// Bytes of the numbers in the file.
    pub size_bytes: usize,
    /// Root of the mean squared distance to the weights that were rounded, as a share of the root of their mean square;
    /// absent before there is a file.
    pub relative_error: Option<f64>,
}

/// `compression_metadata.json`: where an artifact is from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The recipe that made it.
    pub recipe: Recipe,
    /// sha256 of the baseline's `model.safetensors`.
    pub baseline_sha256: String,
    /// Bytes of the baseline's weights in f32.
    pub bytes_before: u64,
    /// Bytes of the artifact.
    pub bytes_after: u64,
    /// Bits per byte of the baseline.
    pub bits_per_byte_before: f64,
    /// Bits per byte of the artifact, on the same documents.
    pub bits_per_byte_after: f64,
    /// When, by the clock of the machine, in UTC.
    pub date: String,
    /// Version of Itera.
    pub itera_version: String,
}

impl TensorReport {
    /// Tensors of these `kinds`, before there is a file.
    pub(crate) fn of(config: &ModelConfig, kinds: &[Kind]) -> Vec<Self> {
        let planned = |(spec, kind): (TensorSpec, &Kind)| Self {
            role: spec.role.name().into(),
            kind: kind.name().into(),
            params: spec.n_params(),
            size_bytes: bytes_of(&spec, *kind),
            name: spec.name,
            relative_error: None,
        };
        config.tensors().into_iter().zip(kinds).map(planned).collect()
    }

    /// With the distances of `packed` to what it was made of.
    pub(crate) fn measured(config: &ModelConfig, packed: &[PackedTensor], parameters: &[NamedTensor]) -> Vec<Self> {
        let with_error = |(report, (packed, parameter)): (Self, (&PackedTensor, &NamedTensor))| {
            let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| f64::from(x).powi(2)).sum::<f64>();
            let numbers = packed.numbers();
            let distance = squares(&mut parameter.data.iter().zip(&numbers).map(|(x, q)| x - q));
            let size = squares(&mut parameter.data.iter().copied());
            let relative_error = if size > 0.0 { (distance / size).sqrt() } else { 0.0 };
            Self { relative_error: Some(relative_error), ..report }
        };
        let kinds: Vec<Kind> = packed.iter().map(PackedTensor::kind).collect();
        Self::of(config, &kinds).into_iter().zip(packed.iter().zip(parameters)).map(with_error).collect()
    }
}

impl Metadata {
    /// Write `compression_metadata.json` into `dir`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        Ok(write_atomic(&dir.join("compression_metadata.json"), json.as_bytes())?)
    }
}
