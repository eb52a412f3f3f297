//! What a checkpoint belongs to.

use itera_config::{CheckpointConfig, Config, LogConfig, RunConfig};
use itera_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::verify::sha256;

/// Fingerprints of all that decides the bytes of a run. A checkpoint resumes only into a run with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// sha256 of the configuration, apart from what changes no weight.
    pub config: String,
    /// sha256 of `tokenizer.json`.
    pub tokenizer: String,
    /// sha256 of the tokenised corpus.
    pub data: String,
}

impl Identity {
    /// The identity of a run. Directory, threads, device, logging and the number of checkpoints kept may change
    /// between resumes; anything else is another run.
    pub fn new(config: &Config, tokenizer: &Tokenizer, data: &str) -> Self {
        let mut config = config.clone();
        config.run = RunConfig { seed: config.run.seed, ..RunConfig::default() };
        config.data.cache_dir = String::new();
        config.checkpoint = CheckpointConfig::default();
        config.log = LogConfig { every_steps: config.log.every_steps, ..LogConfig::default() };
        Self { config: sha256(config.to_toml().as_bytes()), tokenizer: tokenizer.fingerprint(), data: data.to_owned() }
    }
}
