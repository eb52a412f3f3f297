//! A model without its weights: its configuration, and its data under its tokenizer.
//!
//! ```text
//!                   ┌─ student ──────▶ another shape, perhaps another vocabulary
//! Design of the run ┼─ with_model ───▶ the shape that pruning leaves
//!                   ├─ with_text ────▶ the same shape, more text
//!                   └─ without_fold ─▶ the same shape, less text
//! ```

use std::{path::Path, sync::Arc};

use itera_config::{Config, Objective};
use itera_data::{Dataset, Document};
use itera_files::write_atomic;
use itera_shape::ModelConfig;
use itera_tokenizer::Tokenizer;

use crate::{
    artifact::Artifact,
    budget::Filling,
    error::{CompressError, Result},
    misfit::Misfit,
    part::Fold,
    recipe::Recipe,
    rounder::kinds_of,
    stage::Distill,
    training::Training,
};

/// All that a model is before it has weights. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Design {
    /// The configuration to train it with; what stages leave alone is the run's.
    pub config: Config,
    /// Text and tokenizer.
    pub data: Arc<Dataset>,
}

impl Design {
    /// Its shape.
    pub(crate) fn model(&self) -> &ModelConfig {
        &self.config.model
    }

    /// The model that a stage of `recipe` trains in its place, and that files call `name`: the one that it describes, or the
    /// one that fills its budget.
    ///
    /// # Errors
    /// If the configuration that the stage asks for is not valid, or the data cannot be prepared for it.
    pub(crate) fn student(&self, recipe: &Recipe, name: &str, stage: &Distill) -> Result<Self> {
        let misfit = |misfit| CompressError::misfit(&recipe.name, misfit);
        // the keys go through the same checks as those of a command line
        let mut overrides: Vec<String> =
            stage.model.iter().map(|(key, value)| format!("model.{key}={value}")).collect();
        if let Some(alphabet) = stage.alphabet {
            let name = toml::Value::try_from(alphabet).expect("the name of an alphabet is TOML");
            overrides.extend([format!("tokenizer.alphabet={name}"), "tokenizer.path=".into()]);
        }
        let config = Config::from_toml(&self.config.to_toml(), "the run", &overrides);
        let mut config = config.map_err(|error| misfit(Misfit::Config(error.into())))?;
        let data = self.data_for(&config)?;
        let Some(budget) = stage.budget else { return Ok(Self { data, config }) };

        let quantize = recipe.last_quantize().ok_or_else(|| misfit(Misfit::UnknownKinds))?;
        let size = |model: &ModelConfig, tokenizer: &Tokenizer| {
            let artifact = Artifact { name, model, tokenizer, allow_unsupported: true };
            let kinds = kinds_of(&recipe.name, quantize, model).ok()?;
            Some(artifact.size_bytes(&kinds, quantize.format).ok()? as u64)
        };
        let filling = Filling { budget, config: &config, named: &stage.model, tokenizer: &data.tokenizer, size: &size };
        let model = filling.best().map_err(|least_bytes| misfit(Misfit::FileBudget { budget, least_bytes }))?;
        config.model = model;
        config.validate().map_err(|error| misfit(Misfit::Config(error.into())))?;
        Ok(Self { data: self.data_for(&config)?, config })
    }

    /// Another shape, and data under its tokenizer, of which the run's is a continuation.
    ///
    /// # Errors
    /// If the shape is not valid, or the smaller tokenizer is not the beginning of the larger one.
    pub(crate) fn with_model(&self, recipe: &str, model: ModelConfig) -> Result<Self> {
        let config = Config { model, ..self.config.clone() };
        config.validate().map_err(|error| CompressError::misfit(recipe, Misfit::Config(error.into())))?;
        let data = self.data_for(&config)?;
        // merges are learned in order, so a smaller vocabulary of the same text is the beginning of a larger one
        if !self.data.tokenizer.begins_with(&data.tokenizer) {
            return Err(CompressError::misfit(recipe, Misfit::Vocabulary));
        }
        Ok(Self { config, data })
    }

    /// The same, to be trained on the `documents` too. Its tokenizer does not depend on them: it goes to `tokenizer`.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn with_text(&self, documents: &Path, tokenizer: &Path) -> Result<Self> {
        write_atomic(tokenizer, self.data.tokenizer.to_json().as_bytes())?;
        let mut config = self.config.clone();
        config.tokenizer.path = tokenizer.to_string_lossy().into_owned();
        config.data.extra_source.push(documents.to_string_lossy().into_owned());
        Ok(Self { data: Arc::new(itera_data::prepare(&config)?), config })
    }

    /// The same, to be trained on the documents outside of `fold` alone. They go to `files` with endings of their own, as do the
    /// held-out ones and the tokenizer.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn without_fold(&self, fold: Fold, files: &Path) -> Result<Self> {
        let corpus = itera_data::load_corpus(&self.config.data)?;
        let write = |ending: &str, documents: &mut dyn Iterator<Item = &Document>| -> Result<Vec<String>> {
            let path = files.with_added_extension(ending);
            let lines = documents.map(|document| serde_json::json!({ "text": document.text() }).to_string() + "\n");
            write_atomic(&path, lines.collect::<String>().as_bytes())?;
            Ok(vec![path.to_string_lossy().into_owned()])
        };
        let tokenizer = files.with_added_extension("tokenizer.json");
        write_atomic(&tokenizer, self.data.tokenizer.to_json().as_bytes())?;
        let outside = |(index, document)| (index % fold.of != fold.index).then_some(document);
        let mut config = self.config.clone();
        config.tokenizer.path = tokenizer.to_string_lossy().into_owned();
        config.data.source = write("train.jsonl", &mut corpus.train.iter().enumerate().filter_map(outside))?;
        config.data.valid_source = write("valid.jsonl", &mut corpus.valid.iter())?;
        (config.data.extra_source, config.data.max_bytes) = (vec![], 0);
        config.data.text_field = "text".into();
        Ok(Self { data: Arc::new(itera_data::prepare(&config)?), config })
    }

    /// The data under the vocabulary of `config`.
    fn data_for(&self, config: &Config) -> Result<Arc<Dataset>> {
        let is_same =
            config.model.vocab_size == self.config.model.vocab_size && config.tokenizer == self.config.tokenizer;
        Ok(if is_same { self.data.clone() } else { Arc::new(itera_data::prepare(config)?) })
    }

    /// The configuration that a stage of `recipe` trains with, in `dir`.
    ///
    /// # Errors
    /// If it is not valid, or there is not one sequence of its length.
    pub(crate) fn training_config(&self, recipe: &str, training: &Training, dir: &Path) -> Result<Config> {
        let config = training.applied_to(&self.config);
        let mut config = config.map_err(|error| CompressError::misfit(recipe, Misfit::Config(error.into())))?;
        // what a teacher says is of the next token, and the weights are given
        config.train.objective = Objective::NextToken;
        config.train.init.clear();
        config.run.dir = dir.to_string_lossy().into_owned();
        // ten looks at the curve
        let every = (training.steps / 10).max(1);
        config.eval.every_steps = every;
        config.eval.patience = 0;
        config.checkpoint.every_steps = every;
        config.log.tensorboard = false;
        self.data.check(&config)?;
        Ok(config)
    }
}
