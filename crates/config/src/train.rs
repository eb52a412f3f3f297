//! `[train]`, `[eval]`, `[checkpoint]`, `[log]`: how a run learns, and what it keeps

use itera_shape::Precision;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Shape of the learning rate over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Linear warm-up, then half a cosine down to `min_lr_ratio` (arXiv 1608.03983 without restarts).
    Cosine,
    /// Warm-up, stable, linear decay over the last `decay_fraction` (arXiv 2404.06395).
    Wsd,
}

/// What is learned of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// To predict the next token.
    NextToken,
    /// To tell, by vectors of both, which parts of documents belong together (InfoNCE, arXiv 1807.03748).
    Contrast,
}

/// What moves the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW (arXiv 1711.05101).
    AdamW,
    /// Muon (arXiv 2502.16982) for hidden matrices, AdamW for the rest.
    Muon,
}

/// Decoupled weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// This much.
    Value(f64),
    /// What the size of the model against the text asks for; see [`WeightDecay::resolved`].
    Auto,
}

impl WeightDecay {
    /// The value, for a model of `n_params` parameters that learns from `n_tokens` different tokens.
    ///
    /// `"auto"` is 0.1 for a model that has 20 tokens a parameter (arXiv 2203.15556) or more, and grows in proportion to
    /// the parameters a token beyond: models that read little text many times want up to thirty times the usual decay
    /// (arXiv 2509.14786). It stops at 3.
    pub fn resolved(self, n_params: u64, n_tokens: u64) -> f64 {
        match self {
            Self::Value(value) => value,
            Self::Auto => 0.1 * (20.0 * n_params as f64 / n_tokens.max(1) as f64).clamp(1.0, 30.0),
        }
    }
}

impl Serialize for WeightDecay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => serializer.serialize_f64(*value),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for WeightDecay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrAuto;
        impl de::Visitor<'_> for NumberOrAuto {
            type Value = WeightDecay;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number or \"auto\"")
            }

            fn visit_f64<E>(self, value: f64) -> Result<WeightDecay, E> {
                Ok(WeightDecay::Value(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<WeightDecay, E> {
                Ok(WeightDecay::Value(value as f64))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<WeightDecay, E> {
                match value {
                    "auto" => Ok(WeightDecay::Auto),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(NumberOrAuto)
    }
}

/// `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// `next-token` or `contrast`.
    pub objective: Objective,
    /// By what `contrast` divides cosines (τ).
    pub contrast_temperature: f64,
    /// Model whose weights training begins with; empty for fresh ones.
    pub init: String,
    /// Optimiser steps.
    pub steps: u64,
    /// Sequences a micro-batch (b).
    pub batch_size: usize,
    /// Tokens a sequence (l).
    pub seq_len: usize,
    /// Micro-batches whose mean gradient makes one step.
    pub grad_accum_steps: usize,
    /// Share of the input tokens of a batch that random tokens stand in for; what is predicted stays.
    pub replace_inputs: f64,
    /// Share of `steps` after which inputs are as the text has them.
    pub replace_inputs_until: f64,
    /// Peak learning rate.
    pub lr: f64,
    /// Final learning rate as a share of `lr`.
    pub min_lr_ratio: f64,
    /// `cosine` or `wsd`.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Share of `steps` in which WSD decays.
    pub decay_fraction: f64,
    /// `adamw` or `muon`.
    pub optimizer: OptimizerKind,
    /// AdamW β₁.
    pub beta1: f64,
    /// AdamW β₂.
    pub beta2: f64,
    /// AdamW ε.
    pub eps: f64,
    /// Muon β: memory of the mean of gradients.
    pub momentum: f64,
    /// Decoupled weight decay, on matrices only.
    pub weight_decay: WeightDecay,
    /// Weight decay of the last step as a share of `weight_decay`.
    pub weight_decay_end_ratio: f64,
    /// Memory of the moving average of the weights, which is what is validated and published; 0 for none.
    pub ema: f64,
    /// Models that learn apart, each from its share of the micro-batches of a step; 1 for the model itself.
    pub replicas: u64,
    /// Steps that replicas make before they meet; 1 without replicas.
    pub sync_every: u64,
    /// Whether they also go on from the means of what their optimizers remember.
    pub sync_moments: bool,
    /// Learning rate of the step that the model takes when replicas meet.
    pub outer_lr: f64,
    /// Nesterov momentum of that step.
    pub outer_momentum: f64,
    /// Largest global norm of the gradient; 0 does not clip.
    pub grad_clip_norm: f64,
    /// Weight of the load-balancing loss.
    pub load_balance_coef: f64,
    /// Weight of the router z-loss.
    pub z_loss_coef: f64,
    /// Consecutive non-finite steps after which the run stops.
    pub max_skipped_steps: u64,
    /// `f32`, `bf16`, or on a GPU `f16`, whose losses are scaled.
    pub precision: Precision,
    /// Whether backward computes each block a second time instead of reading what forward saved (arXiv 1604.06174).
    pub gradient_checkpointing: bool,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            objective: Objective::NextToken,
            contrast_temperature: 0.05,
            init: String::new(),
            steps: 1000,
            batch_size: 16,
            seq_len: 256,
            grad_accum_steps: 1,
            replace_inputs: 0.0,
            replace_inputs_until: 0.67,
            lr: 2e-3,
            min_lr_ratio: 0.1,
            schedule: Schedule::Cosine,
            warmup_steps: 50,
            decay_fraction: 0.2,
            optimizer: OptimizerKind::AdamW,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            momentum: 0.95,
            weight_decay: WeightDecay::Value(0.1),
            weight_decay_end_ratio: 1.0,
            ema: 0.0,
            replicas: 1,
            sync_every: 1,
            sync_moments: false,
            outer_lr: 0.7,
            outer_momentum: 0.9,
            grad_clip_norm: 1.0,
            load_balance_coef: 0.01,
            z_loss_coef: 0.001,
            max_skipped_steps: 10,
            precision: Precision::F32,
            gradient_checkpointing: false,
        }
    }
}

impl TrainConfig {
    /// Tokens that one optimiser step sees.
    pub fn tokens_per_step(&self) -> u64 {
        self.batch_size.saturating_mul(self.seq_len).saturating_mul(self.grad_accum_steps) as u64
    }
}

/// `[eval]`: validation during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Validate every so many steps (and at the last).
    pub every_steps: u64,
    /// Held-out tokens scored at each validation; the same ones each time; 0 scores all.
    pub tokens: usize,
    /// Validations without improvement after which the run stops; 0 never stops early.
    pub patience: u64,
    /// Smallest fall of `val_bpb` that counts as an improvement.
    pub min_delta: f64,
    /// Prompts continued at each validation.
    pub prompts: Vec<String>,
    /// Tokens of each continuation.
    pub sample_tokens: usize,
    /// Sampling temperature of the continuations; 0 is greedy.
    pub sample_temperature: f64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            every_steps: 100,
            tokens: 65_536,
            patience: 0,
            min_delta: 0.0,
            prompts: vec!["Once upon a time".into()],
            sample_tokens: 100,
            sample_temperature: 0.8,
        }
    }
}

/// `[checkpoint]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Save every so many steps (and at the last).
    pub every_steps: u64,
    /// Newest checkpoints kept.
    pub keep_last: usize,
    /// Best checkpoints (lowest `val_bpb`) kept beside them.
    pub keep_best: usize,
    /// Directory, on a disk of the host, where a checkpoint is written before it is copied into the run; none if empty.
    pub local_dir: String,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_steps: 100, keep_last: 2, keep_best: 1, local_dir: String::new() }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Write a metrics row every so many steps.
    pub every_steps: u64,
    /// Write TensorBoard event files.
    pub tensorboard: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { every_steps: 10, tensorboard: true }
    }
}
