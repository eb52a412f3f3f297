//! What a checkpoint belongs to.

use itera_config::{CheckpointConfig, Config, LogConfig, Precision, RunConfig};
use itera_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

/// All that decides the bytes of a run. A checkpoint resumes only into a run with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The configuration as TOML, apart from what changes no weight.
    config: String,
    /// sha256 of `tokenizer.json`.
    tokenizer: String,
    /// sha256 of the tokenised corpus.
    corpus: String,
    /// What the run does beyond training on its configuration; empty for nothing.
    #[serde(default)]
    method: String,
}

impl Identity {
    /// The identity of a run. Directory, threads, device, TensorBoard and the checkpoints kept may change between
    /// resumes, and gradient checkpointing where activations are saved in f32; anything else makes another run.
    pub fn new(config: &Config, tokenizer: &Tokenizer, corpus: &str, method: String) -> Self {
        let (config, tokenizer) = (deciding(config).to_toml(), tokenizer.fingerprint());
        Self { config, tokenizer, corpus: corpus.to_owned(), method }
    }

    /// What differs from `now`, if anything: the kind of thing, and both sides of it.
    pub(crate) fn difference(&self, now: &Self) -> Option<(&'static str, String)> {
        let hashes = |was: &str, is: &str| format!("its sha256 was {was} and is {is}");
        if self.tokenizer != now.tokenizer {
            return Some(("tokenizer", hashes(&self.tokenizer, &now.tokenizer)));
        }
        if self.corpus != now.corpus {
            return Some(("corpus", hashes(&self.corpus, &now.corpus)));
        }
        if self.method != now.method {
            return Some(("method", format!("it was `{}` and is `{}`", self.method, now.method)));
        }
        // keys that did not exist when the checkpoint was made had their defaults
        let was = match Config::from_toml(&self.config, "the checkpoint", &[]) {
            Ok(config) => deciding(&config).to_toml(),
            Err(error) => return Some(("configuration", error.to_string())),
        };
        (was != now.config).then(|| ("configuration", changed_lines(&was, &now.config)))
    }
}

/// The configuration with what decides no byte at its default.
fn deciding(config: &Config) -> Config {
    let mut config = config.clone();
    config.run = RunConfig { seed: config.run.seed, ..RunConfig::default() };
    config.data.cache_dir = itera_config::DataConfig::default().cache_dir;
    // in f32, backward computes the same gradients with and without, bit for bit
    config.train.gradient_checkpointing &= config.train.precision != Precision::F32;
    config.checkpoint = CheckpointConfig::default();
    config.log = LogConfig { every_steps: config.log.every_steps, ..LogConfig::default() };
    config
}

/// `table: key = was → key = is` of each line that differs between two resolved configurations.
fn changed_lines(was: &str, is: &str) -> String {
    let mut table = "";
    let mut changes = Vec::new();
    for (was, is) in was.lines().zip(is.lines()) {
        if is.starts_with('[') && !is.contains('=') {
            table = is;
        }
        if was != is {
            changes.push(format!("{table} {was} → {is}"));
        }
    }
    changes.join(", ")
}
