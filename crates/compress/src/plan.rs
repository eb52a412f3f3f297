//! recipe, baseline → what would be done, to the byte
//!
//! A kind gives a tensor its bytes whatever its numbers are, so the size of the file is known before anything is trained.

use std::path::Path;

use itera_config::Config;
use itera_formats::gguf::{GgufSource, Vocabulary, gguf_size_bytes};
use serde::Serialize;

use crate::{
    Baseline, Recipe, Result, Rounder, TensorReport,
    recipe::{Budget, KindName, Rounding, Stage, Training},
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
}

impl Plan {
    /// Look ahead.
    ///
    /// # Errors
    /// If the recipe does not fit the model.
    pub fn new(recipe: &Recipe, baseline: &Baseline, allow_unsupported: bool) -> Result<Self> {
        let stages = recipe.stages.iter().map(|stage| {
            let steps = stage.training().map_or(0, |training| training.steps);
            PlannedStage { name: stage.name(), steps, tokens: steps * baseline.config.train.tokens_per_step() }
        });
        let (quantize, budget) = match recipe.stages.last() {
            Some(Stage::Quantize(quantize)) => (quantize.clone(), None),
            Some(Stage::Mixed(mixed)) => {
                let kind = if let Budget::Like(KindName(kind)) = mixed.budget { kind } else { mixed.kinds[0].0 };
                (mixed.in_kind(kind), Some(mixed.budget))
            }
            _ => unreachable!("a valid recipe ends so"),
        };
        // any rounding has the same size, so the fastest will do
        let fast = crate::Quantize { rounding: Rounding::MinMax, ..quantize };
        let packed = Rounder::new(&recipe.name, &fast, &baseline.config.model, None)?.pack(&baseline.parameters);
        let vocabulary = vocabulary(baseline);
        let name = artifact_name(baseline, recipe);
        let source = GgufSource {
            name: &name,
            config: &baseline.config.model,
            special_ids: baseline.special_ids,
            vocabulary: &vocabulary,
            tensors: &packed,
        };
        let mut size_bytes = gguf_size_bytes(&source, allow_unsupported)? as u64;
        let mut tensors = TensorReport::of(&baseline.config.model, &packed);
        let mut matrix_budget_bytes = None;
        if let Some(budget) = budget {
            // which kinds they get is not known before losses are measured
            let (matrices, others): (Vec<_>, Vec<_>) = tensors.into_iter().partition(|tensor| tensor.kind != "f32");
            let bytes = matrices.iter().map(|tensor| tensor.size_bytes as u64).sum::<u64>();
            let most = if let Budget::Bytes(most) = budget { most } else { bytes };
            (tensors, matrix_budget_bytes, size_bytes) = (others, Some(most), size_bytes - bytes + most);
        }
        Ok(Self {
            stages: stages.collect(),
            tensors,
            matrix_budget_bytes,
            size_bytes,
            times_smaller: baseline.weights_bytes as f64 / size_bytes as f64,
        })
    }
}

/// The tokenizer of a baseline as files have it.
pub(crate) fn vocabulary(baseline: &Baseline) -> Vocabulary<'_> {
    let tokenizer = &baseline.data.tokenizer;
    Vocabulary {
        tokens: tokenizer.spellings().collect(),
        merges: tokenizer.merges().collect(),
        specials: tokenizer.specials().iter().map(|id| id.0).collect(),
    }
}

/// What the model of a recipe is called.
pub(crate) fn artifact_name(baseline: &Baseline, recipe: &Recipe) -> String {
    format!("{}-{}", baseline.name, recipe.name)
}

/// The configuration that a stage trains with, in `dir`.
pub(crate) fn training_config(baseline: &Config, training: &Training, dir: &Path) -> Result<Config> {
    let Training { steps, lr, warmup_steps, min_lr_ratio, dropout, weight_decay } = *training;
    let mut config = baseline.clone();
    config.run.dir = dir.to_string_lossy().into_owned();
    config.train.steps = steps;
    config.train.lr = lr;
    config.train.warmup_steps = warmup_steps;
    config.train.min_lr_ratio = min_lr_ratio;
    config.train.weight_decay = weight_decay.unwrap_or(config.train.weight_decay);
    config.model.dropout = dropout.unwrap_or(config.model.dropout);
    // ten looks at the curve
    let every = (steps / 10).max(1);
    config.eval.every_steps = every;
    config.eval.patience = 0;
    config.checkpoint.every_steps = every;
    config.log.tensorboard = false;
    config.validate()?;
    Ok(config)
}
