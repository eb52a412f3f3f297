//! The schema of a stage's `train`, and what it makes of the run's configuration

use itera_config::{Config, ConfigError, Windows};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::defaults::{is_default, is_one, one};

/// Training within a stage. What it does not name is as in the run that is compressed, but for `warmup_steps` and
/// `min_lr_ratio`, which are 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Optimiser steps.
    pub steps: u64,
    /// Peak learning rate.
    pub lr: f64,
    /// Dropout on residual branches, which is a key of `[model]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// How text is cut into sequences, which is a key of `[data]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// Text by the baseline to learn from beside that of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Sampled>,
    /// Learn from what another model predicts too: the run, or one that an earlier stage left. Its vocabulary may be longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Teaching>,
    /// Other keys of `[train]`.
    #[serde(flatten)]
    pub keys: Table,
}

/// Documents drawn from the baseline: sequence-level distillation (arXiv 1606.07947).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// Bytes of text.
    pub bytes: u64,
    /// Temperature that its tokens are drawn at.
    #[serde(default = "plain")]
    pub temperature: f64,
}

/// Who teaches, and how much the teacher's predictions count: the loss is `(1 − weight)·cross-entropy + weight·T²·KL(teacher ‖ student)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teaching {
    /// Above 0 and at most 1.
    pub weight: f64,
    /// Temperature T of both distributions.
    #[serde(default = "plain")]
    pub temperature: f64,
    /// The number of the earlier stage, from 1, whose model teaches; the run if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<usize>,
    /// So many models of that stage teach, trained with different seeds: the mean of their probabilities.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub members: usize,
    /// The documents are dealt into so many folds, and each is taught by a model of that stage which has not read it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub folds: usize,
    /// Learn from the run only if that has [learned what it can](crate::Maturity::is_ripe), else from text alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub auto: bool,
}

fn plain() -> f64 {
    1.0
}

impl Training {
    /// `config` as a stage trains with it.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the keys that `[train]` does not have, values that they do not take, and rules that
    /// the whole breaks.
    pub(crate) fn applied_to(&self, config: &Config) -> Result<Config, ConfigError> {
        let set = |key: &str, value: &Value| format!("{key}={value}");
        let mut keys = vec![
            set("train.steps", &Value::Integer(self.steps.try_into().unwrap_or(i64::MAX))),
            set("train.lr", &Value::Float(self.lr)),
            set("train.warmup_steps", &Value::Integer(0)),
            set("train.min_lr_ratio", &Value::Float(0.0)),
        ];
        keys.extend(self.dropout.map(|dropout| set("model.dropout", &Value::Float(dropout))));
        let name = |windows| Value::try_from(windows).expect("a name is TOML");
        keys.extend(self.windows.map(|windows| set("data.windows", &name(windows))));
        keys.extend(self.keys.iter().map(|(key, value)| set(&format!("train.{key}"), value)));
        Config::from_toml(&config.to_toml(), "the run", &keys).map_err(|error| match error {
            ConfigError::Invalid { mut problems } => {
                // neither the file of the run nor a command line holds them
                problems.iter_mut().for_each(|problem| problem.place = None);
                ConfigError::Invalid { problems }
            }
            error => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use itera_config::{Schedule, TrainConfig};

    use super::*;

    #[test]
    fn a_stage_trains_as_the_run_did_but_for_what_it_names() {
        let mut run = Config::default();
        (run.train.warmup_steps, run.train.beta2, run.model.dropout) = (77, 0.5, 0.25);
        let training: Training = toml::from_str("steps = 9\nlr = 1e-3").expect("a table");
        let expected = TrainConfig { steps: 9, lr: 1e-3, warmup_steps: 0, min_lr_ratio: 0.0, ..run.train.clone() };
        let config = training.applied_to(&run).expect("valid");
        assert_eq!(config, Config { train: expected, ..run.clone() });

        let text = "steps = 90\nlr = 1\nschedule = 'wsd'\ndecay_fraction = 0.75\nmin_lr_ratio = 0.5\nwarmup_steps = 3\n\
            seq_len = 64\ngrad_accum_steps = 2\nprecision = 'bf16'\nbeta2 = 0.75\ndropout = 0\nwindows = 'documents'";
        let training: Training = toml::from_str(text).expect("a table");
        let config = training.applied_to(&run).expect("valid");
        let TrainConfig { schedule, decay_fraction, min_lr_ratio, warmup_steps, .. } = config.train;
        assert_eq!((schedule, decay_fraction, min_lr_ratio, warmup_steps), (Schedule::Wsd, 0.75, 0.5, 3));
        assert_eq!(config.data.windows, Windows::Documents);
        let TrainConfig { seq_len, grad_accum_steps, beta2, lr, .. } = config.train;
        assert_eq!((seq_len, grad_accum_steps, beta2, lr, config.model.dropout), (64, 2, 0.75, 1.0, 0.0));
    }
}
