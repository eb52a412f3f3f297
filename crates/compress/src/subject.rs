//! What a recipe works on: a model, and the data under its tokenizer. Stages change it.

use std::{path::Path, sync::Arc};

use itera_config::Config;
use itera_data::Dataset;
use itera_files::write_atomic;
use itera_formats::{Kind, PackedTensor, gguf::Vocabulary, pack_model};
use itera_shape::{ModelConfig, NamedTensor, TensorRef};

use crate::{
    Baseline, CompressError, Result,
    stage::{Distill, Training},
};

/// A model between two stages.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The configuration to train it with; what stages leave alone is the run's.
    pub config: Config,
    /// Its data.
    pub data: Arc<Dataset>,
    /// Its weights in the order of the tensor table; none before a new model is trained.
    pub parameters: Vec<NamedTensor>,
}

impl Subject {
    /// The trained run.
    pub(crate) fn new(baseline: &Baseline) -> Self {
        let (config, data) = (baseline.config.clone(), baseline.data.clone());
        Self { config, data, parameters: baseline.parameters.clone() }
    }

    /// The model that a stage trains in its place.
    ///
    /// # Errors
    /// If the configuration that the stage asks for is not valid, or the data cannot be prepared for it.
    pub(crate) fn student(&self, recipe: &str, stage: &Distill) -> Result<Self> {
        let misfit = |problem: String| CompressError::Misfit { recipe: recipe.into(), problem };
        // the keys go through the same checks as those of a command line
        let overrides: Vec<String> = stage.model.iter().map(|(key, value)| format!("model.{key}={value}")).collect();
        let config = Config::from_toml(&self.config.to_toml(), "the run", &overrides);
        let config = config.map_err(|error| misfit(error.to_string()))?;
        Ok(Self { data: self.data_for(&config)?, config, parameters: vec![] })
    }

    /// The same, to be trained on the `documents` too. Its tokenizer, which is not to depend on them, goes to `tokenizer`.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn with_text(&self, documents: &Path, tokenizer: &Path) -> Result<Self> {
        write_atomic(tokenizer, self.data.tokenizer.to_json().as_bytes())?;
        let mut config = self.config.clone();
        config.tokenizer.path = tokenizer.to_string_lossy().into_owned();
        config.data.extra_source.push(documents.to_string_lossy().into_owned());
        Ok(Self { data: Arc::new(itera_data::prepare(&config)?), config, parameters: self.parameters.clone() })
    }

    /// The data under the vocabulary of `config`.
    ///
    /// # Errors
    /// If it cannot be prepared.
    pub(crate) fn data_for(&self, config: &Config) -> Result<Arc<Dataset>> {
        Ok(match config.model.vocab_size == self.config.model.vocab_size {
            true => self.data.clone(),
            false => Arc::new(itera_data::prepare(config)?),
        })
    }

    /// The configuration that a stage trains with, in `dir`.
    ///
    /// # Errors
    /// If it is not valid.
    pub(crate) fn training_config(&self, training: &Training, dir: &Path) -> Result<Config> {
        let Training {
            steps,
            lr,
            warmup_steps,
            min_lr_ratio,
            dropout,
            weight_decay,
            batch_size,
            precision,
            sampled: _,
            teacher: _,
        } = *training;
        let mut config = self.config.clone();
        config.run.dir = dir.to_string_lossy().into_owned();
        config.train.steps = steps;
        config.train.lr = lr;
        config.train.warmup_steps = warmup_steps;
        config.train.min_lr_ratio = min_lr_ratio;
        config.train.weight_decay = weight_decay.unwrap_or(config.train.weight_decay);
        config.train.batch_size = batch_size.unwrap_or(config.train.batch_size);
        config.train.precision = precision.unwrap_or(config.train.precision);
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

    /// Its shape.
    pub(crate) fn model(&self) -> &ModelConfig {
        &self.config.model
    }

    /// A copy of its weights.
    pub(crate) fn values(&self) -> Vec<Vec<f32>> {
        self.parameters.iter().map(|parameter| parameter.data.clone()).collect()
    }

    /// Its weights as an f32 file has them.
    ///
    /// # Errors
    /// If they are not those of its configuration.
    pub(crate) fn unpacked(&self) -> Result<Vec<PackedTensor>> {
        let tensors: Vec<TensorRef<'_>> = self.parameters.iter().map(NamedTensor::as_ref).collect();
        Ok(pack_model(self.model(), &tensors, Kind::F32)?)
    }

    /// Its tokenizer as files have it.
    pub(crate) fn vocabulary(&self) -> Vocabulary<'_> {
        let tokenizer = &self.data.tokenizer;
        Vocabulary {
            tokens: tokenizer.spellings().collect(),
            merges: tokenizer.merges().collect(),
            specials: tokenizer.specials().iter().map(|id| id.0).collect(),
        }
    }
}
