//! configuration, tokenizer, corpus, method → what a checkpoint belongs to

use itera_config::{
    CheckpointConfig, Config, DataConfig, EvalConfig, LogConfig, RunConfig, TokenizerConfig, TrainConfig,
};
use itera_data::DataSummary;
use itera_shape::Precision;
use itera_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::{replaced_inputs::replaced_steps, schedule::same_rates};

/// All that decides the bytes of a run. A checkpoint resumes only into a run with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// The configuration as TOML, apart from what changes no weight.
    config: String,
    /// sha256 of `tokenizer.json`.
    tokenizer: String,
    /// sha256 of the tokenised corpus as the cache names it: of what it holds, and of where its tokenizer is from.
    corpus: String,
    /// sha256 of the documents to train on and of those held out; empty in checkpoints that know `corpus` alone.
    #[serde(default)]
    documents: [String; 2],
    /// What the run does beyond training on its configuration; empty for nothing.
    #[serde(default)]
    method: String,
}

impl Identity {
    /// The identity of a run. See [`deciding`] for what of its configuration may change between resumes.
    pub(crate) fn new(config: &Config, tokenizer: &Tokenizer, data: &DataSummary, method: String) -> Self {
        let (config, tokenizer) = (deciding(config).to_toml(), tokenizer.fingerprint());
        let documents = [&data.corpus.train, &data.corpus.valid].map(|split| split.sha256.clone());
        Self { config, tokenizer, corpus: data.content_hash().to_owned(), documents, method }
    }

    /// What it knows of tokenizer, corpus and method, in this order.
    pub(crate) fn contents(&self) -> [String; 3] {
        let corpus = [&self.corpus, &self.documents[0], &self.documents[1]].map(String::as_str).join(" ");
        [self.tokenizer.clone(), corpus, self.method.clone()]
    }

    /// Why a checkpoint of this identity and of `step` completed steps is not one of a run that is `now`, if it is not.
    pub(crate) fn difference(&self, now: &Self, step: u64) -> Option<Difference> {
        let other = |what, difference| Some(Difference::Other { what, difference });
        let hashes = |was: &str, is: &str| format!("its sha256 was {was} and is {is}");
        if self.tokenizer != now.tokenizer {
            return other("tokenizer", hashes(&self.tokenizer, &now.tokenizer));
        }
        if self.corpus != now.corpus && self.documents != now.documents {
            return other("corpus", hashes(&self.corpus, &now.corpus));
        }
        if self.method != now.method {
            return other("method", format!("it was `{}` and is `{}`", self.method, now.method));
        }
        // keys that did not exist when the checkpoint was made had their defaults
        let configs = [&self.config, &now.config].map(|text| Config::from_toml(text, "the checkpoint", &[]));
        let [was, is] = match configs {
            [Ok(was), Ok(is)] => [was, is].map(|config| deciding(&config)),
            [Err(error), _] | [_, Err(error)] => return other("configuration", error.to_string()),
        };
        let changes = changed_lines(&was.to_toml(), &is.to_toml());
        let from_step = same_rates(&was.train, &is.train, step).min(same_inputs(&was.train, &is.train, step));
        // where no step was made alike, it is simply another run
        if with_rates_of(&was, &is) != is || (from_step == 0 && step > 0) {
            return other("configuration", changes);
        }
        (from_step < step).then_some(Difference::PastRates { changes, from_step })
    }
}

/// Why a run cannot go on from a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// It is of a run with another configuration, tokenizer, corpus or method.
    Other {
        /// Which of these.
        what: &'static str,
        /// Both sides of it.
        difference: String,
    },
    /// It is of the same run, but for steps that it has behind it, whose learning rates were others, or whose inputs.
    PastRates {
        /// The keys that change them.
        changes: String,
        /// Completed steps up to which they are the same.
        from_step: u64,
    },
}

/// Completed steps up to which two configurations replace the same inputs, if they replace as many; `steps` if in all of those.
fn same_inputs(a: &TrainConfig, b: &TrainConfig, steps: u64) -> u64 {
    match [a, b].map(replaced_steps) {
        [a, b] if a == b => steps,
        [a, b] => steps.min(a).min(b),
    }
}

/// `config` with the rates of `other`.
fn with_rates_of(config: &Config, other: &Config) -> Config {
    let TrainConfig { steps, lr, min_lr_ratio, schedule, warmup_steps, decay_fraction, .. } = other.train;
    let TrainConfig { weight_decay, weight_decay_end_ratio, .. } = other.train;
    let rates = TrainConfig { steps, lr, min_lr_ratio, schedule, warmup_steps, decay_fraction, ..config.train.clone() };
    let train = TrainConfig { weight_decay, weight_decay_end_ratio, ..rates };
    Config { train, ..config.clone() }
}

/// The configuration with what changes no step that was made at its default: where the run lies, on what it computes, what
/// it began with, is logged, sampled and kept, when it is validated and when it gives up. Corpus and tokenizer are known by
/// their contents, however they are spelled; into which sequences the text is cut is not among them. The tokens that are scored
/// decide, for validations are compared.
fn deciding(config: &Config) -> Config {
    let mut config = config.clone();
    config.run = RunConfig { seed: config.run.seed, ..RunConfig::default() };
    config.data = DataConfig { windows: config.data.windows, ..DataConfig::default() };
    config.tokenizer = TokenizerConfig::default();
    let eval = EvalConfig::default();
    let every_steps = eval.every_steps.next_multiple_of(config.train.sync_every);
    config.eval = EvalConfig { every_steps, tokens: config.eval.tokens, ..eval };
    // the checkpoint has what became of it
    config.train.init.clear();
    config.train.max_skipped_steps = TrainConfig::default().max_skipped_steps;
    if config.train.replace_inputs == 0.0 {
        config.train.replace_inputs_until = TrainConfig::default().replace_inputs_until;
    }
    // in f32, backward computes the same gradients with and without, bit for bit
    config.train.gradient_checkpointing &= config.train.precision != Precision::F32;
    config.checkpoint = CheckpointConfig::default();
    config.log = LogConfig::default();
    config
}

/// `table: key = was → key = is` of each line that differs between two resolved configurations.
pub(crate) fn changed_lines(was: &str, is: &str) -> String {
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
        let config = deciding(&config).to_toml();
        let [tokenizer, corpus, method] = ["tokenizer", "corpus", ""].map(str::to_owned);
        Identity { config, tokenizer, corpus, documents: Default::default(), method }
    }

    fn change(was: &[&str], is: &[&str]) -> Option<String> {
        change_at(50, was, is)
    }

    fn change_at(step: u64, was: &[&str], is: &[&str]) -> Option<String> {
        identity(was).difference(&identity(is), step).map(|difference| match difference {
            Difference::Other { what, difference } => format!("{what}: {difference}"),
            Difference::PastRates { changes, from_step } => format!("from {from_step}: {changes}"),
        })
    }

    #[test]
    fn another_configuration_is_named_key_by_key() {
        let found = change(&[], &["train.lr=0.125"]).expect("another rate");
        assert_eq!(found, "configuration: [train] lr = 0.002 → lr = 0.125");
    }

    #[test]
    fn rates_may_change_from_where_the_checkpoint_is() {
        let wsd = |steps: &'static str| ["train.schedule=wsd", "train.warmup_steps=10", steps];
        let (short, long) = (wsd("train.steps=100"), wsd("train.steps=200"));
        assert_eq!(change_at(80, &short, &long), None, "it decays after 80 of 100 steps");
        let found = change_at(81, &short, &long).expect("a rate that has decayed");
        assert_eq!(found, "from 80: [train] steps = 100 → steps = 200");
        assert_eq!(change_at(0, &["train.lr=0.1"], &["train.lr=0.2"]), None, "no step was made");
        let both = change_at(90, &short, &[&long[..], &["train.beta1=0.5"]].concat()).expect("another run");
        assert!(both.starts_with("configuration: ") && both.contains("beta1") && both.contains("steps"), "{both}");
    }

    #[test]
    fn more_steps_replace_the_same_inputs_up_to_where_fewer_replace_none() {
        let wsd = ["train.schedule=wsd", "train.warmup_steps=10", "train.replace_inputs=0.05"];
        let run = |until: &'static str, steps: &'static str| [&wsd[..], &[until, steps]].concat();
        let [short, long] =
            ["train.steps=100", "train.steps=200"].map(|steps| run("train.replace_inputs_until=0.5", steps));
        assert_eq!(change_at(50, &short, &long), None);
        let found = change_at(51, &short, &long).expect("one step without replaced inputs");
        assert_eq!(found, "from 50: [train] steps = 100 → steps = 200");
        let [short, long] =
            ["train.steps=100", "train.steps=200"].map(|steps| run("train.replace_inputs_until=0.8", steps));
        assert_eq!(change_at(80, &short, &long), None, "as long as it does not decay");
        let found =
            change_at(10, &short, &run("train.replace_inputs_until=0.7", "train.steps=100")).expect("another run");
        assert!(found.starts_with("configuration: "), "{found}");
    }

    #[test]
    fn what_decides_no_byte_may_change() {
        let free = [
            "run.threads=7",
            "data.source=./elsewhere.txt",
            "data.cache_dir=elsewhere",
            "tokenizer.path=moved.json",
            "checkpoint.keep_last=9",
            "log.tensorboard=false",
            "log.every_steps=7",
            "eval.prompts=[\"Another beginning\"]",
            "eval.sample_tokens=7",
            "eval.sample_temperature=0",
            "eval.patience=7",
            "train.max_skipped_steps=3",
            "train.replace_inputs_until=0.5",
        ];
        assert_eq!(change(&[], &free), None);
        let found = change(&[], &["data.windows=documents"]).expect("other batches");
        assert_eq!(found, "configuration: [data] windows = \"stream\" → windows = \"documents\"");
        let found = change(&[], &["eval.tokens=4096"]).expect("no comparison with earlier validations");
        assert!(found.contains("[eval] tokens"), "{found}");
        // in f32, backward computes again what it would have read
        assert_eq!(change(&[], &["train.gradient_checkpointing=true"]), None);
        let bf16 = "train.precision=bf16";
        let found = change(&[bf16, "train.gradient_checkpointing=true"], &[bf16]).expect("other gradients");
        assert!(found.contains("gradient_checkpointing = true → gradient_checkpointing = false"), "{found}");
    }
}
