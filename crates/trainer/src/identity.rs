//! configuration, tokenizer, corpus, method → what a checkpoint belongs to

use itera_config::{CheckpointConfig, Config, DataConfig, LogConfig, RunConfig};
use itera_shape::Precision;
use itera_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

/// All that decides the bytes of a run. A checkpoint resumes only into a run with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
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
    pub(crate) fn new(config: &Config, tokenizer: &Tokenizer, corpus: &str, method: String) -> Self {
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
    config.data.cache_dir = DataConfig::default().cache_dir;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(overrides: &[&str]) -> Identity {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let config = Config::from_toml("", "test", &overrides).expect("valid");
        Identity::new(&config, &Tokenizer::byte(), "corpus", String::new())
    }

    fn change(was: &[&str], is: &[&str]) -> Option<String> {
        identity(was).difference(&identity(is)).map(|(what, difference)| format!("{what}: {difference}"))
    }

    #[test]
    fn another_configuration_is_named_key_by_key() {
        let found = change(&[], &["train.lr=0.125"]).expect("another rate");
        assert_eq!(found, "configuration: [train] lr = 0.002 → lr = 0.125");
    }

    #[test]
    fn what_decides_no_byte_may_change() {
        let free = ["run.threads=7", "data.cache_dir=elsewhere", "checkpoint.keep_last=9", "log.tensorboard=false"];
        assert_eq!(change(&[], &free), None);
        // in f32, backward computes again what it would have read
        assert_eq!(change(&[], &["train.gradient_checkpointing=true"]), None);
        let bf16 = "train.precision=bf16";
        let found = change(&[bf16, "train.gradient_checkpointing=true"], &[bf16]).expect("other gradients");
        assert!(found.contains("gradient_checkpointing = true → gradient_checkpointing = false"), "{found}");
    }
}
