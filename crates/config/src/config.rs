//! tables → rules → [`Config`] → TOML

use itera_shape::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::{
    data::{DataConfig, TokenizerConfig},
    error::ConfigError,
    train::{CheckpointConfig, EvalConfig, LogConfig, TrainConfig},
};

/// A whole configuration, every default filled in. Loading and deserialising check every rule; who changes a field
/// afterwards calls [`Config::validate`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Tables")]
pub struct Config {
    /// `[run]`
    pub run: RunConfig,
    /// `[data]`
    pub data: DataConfig,
    /// `[tokenizer]`
    pub tokenizer: TokenizerConfig,
    /// `[model]`
    pub model: ModelConfig,
    /// `[train]`
    pub train: TrainConfig,
    /// `[eval]`
    pub eval: EvalConfig,
    /// `[checkpoint]`
    pub checkpoint: CheckpointConfig,
    /// `[log]`
    pub log: LogConfig,
}

impl Config {
    /// The whole configuration as TOML, which [`Config::from_toml`] reads back to an equal value.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("tables of numbers, strings and lists are TOML")
    }
}

/// The tables as they were written: the right keys and types, no rule checked.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tables {
    run: RunConfig,
    data: DataConfig,
    tokenizer: TokenizerConfig,
    model: ModelConfig,
    train: TrainConfig,
    eval: EvalConfig,
    checkpoint: CheckpointConfig,
    log: LogConfig,
}

impl TryFrom<Tables> for Config {
    type Error = ConfigError;

    fn try_from(tables: Tables) -> Result<Self, ConfigError> {
        let Tables { run, data, tokenizer, model, train, eval, checkpoint, log } = tables;
        let config = Self { run, data, tokenizer, model, train, eval, checkpoint, log };
        config.validate()?;
        Ok(config)
    }
}

/// `[run]`: where a run lives and what makes it reproducible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Directory that the run writes, relative to the working directory.
    pub dir: String,
    /// Seed of everything random: initial weights, data order, dropout, samples.
    pub seed: u64,
    /// Worker threads; 0 uses every core. The result does not depend on it.
    pub threads: usize,
    /// `flex`, `ndarray`, `wgpu` or `cuda`, as compiled in.
    pub device: String,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { dir: "runs/default".into(), seed: 42, threads: 0, device: "flex".into() }
    }
}
