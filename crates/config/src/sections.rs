//! The tables of a configuration file, one struct each.

use serde::{Deserialize, Serialize};

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

/// `[data]`: where documents come from and how they are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `builtin:stories`, `hub:owner/name[:config]`, or paths and globs of `.txt`, `.jsonl`, `.parquet` files.
    pub source: Vec<String>,
    /// Held-out documents, in the same forms as `source`; empty splits `valid_fraction` off `source`
    /// (or, on the hub, uses the data set's own validation split).
    pub valid_source: Vec<String>,
    /// Share of the documents of `source` held out when `valid_source` is empty.
    pub valid_fraction: f64,
    /// Bytes of training text to generate for `builtin:stories`.
    pub builtin_bytes: u64,
    /// Most bytes of training text to use; 0 uses all.
    pub max_bytes: u64,
    /// Line that ends a document in a `.txt` file.
    pub separator: String,
    /// Field of a `.jsonl` record or column of a `.parquet` file that holds the text.
    pub text_field: String,
    /// Branch, tag or commit of a hub data set.
    pub hub_revision: String,
    /// Directory of tokenised shards, kept by content hash.
    pub cache_dir: String,
}

/// Which tokenizer to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// Byte-level BPE trained on the training split.
    Bpe,
    /// One token a byte, no training.
    Byte,
}

/// `[tokenizer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerConfig {
    /// `bpe` or `byte`. A BPE is trained to `model.vocab_size` entries.
    pub kind: TokenizerKind,
    /// An existing `tokenizer.json` to use instead of training one; empty trains.
    pub path: String,
}

/// How attention layers know where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PositionEmbedding {
    /// None: order is left to the SSM layers (NoPE).
    None,
    /// Rotary embedding (arXiv 2104.09864).
    Rope,
}

/// What stands in the mixer of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    /// Mamba-2 state-space mixer.
    Mamba,
    /// Causal grouped-query attention.
    Attention,
}

/// `[model]`: the shape of the network (glossary letters in brackets).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Entries of the vocabulary (v).
    pub vocab_size: usize,
    /// Width of the residual stream (d).
    pub d_model: usize,
    /// Number of layers.
    pub n_layers: usize,
    /// Indices of the layers whose mixer is attention; all others are mamba.
    pub attention_layers: Vec<usize>,
    /// Width of the SSM state (n).
    pub d_state: usize,
    /// Taps of the causal convolution.
    pub d_conv: usize,
    /// d_inner = expand · d_model.
    pub expand: usize,
    /// Channels of an SSM head (p).
    pub d_head: usize,
    /// Groups that share B and C (g).
    pub n_groups: usize,
    /// Positions of a chunk in the chunked scan.
    pub chunk_len: usize,
    /// Query heads of an attention layer.
    pub n_attention_heads: usize,
    /// Key/value heads of an attention layer.
    pub n_kv_heads: usize,
    /// Position embedding of attention layers.
    pub position_embedding: PositionEmbedding,
    /// Base wavelength of the rotary embedding.
    pub rope_theta: f64,
    /// Experts a layer (e); 0 makes the model dense.
    pub n_experts: usize,
    /// Experts a token is sent to (k).
    pub top_k: usize,
    /// Width of an expert (f).
    pub d_expert: usize,
    /// Width of the shared expert, through which every token goes.
    pub d_shared: usize,
    /// Whether the head is the transposed embedding.
    pub tie_embeddings: bool,
    /// ε of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Factor on the embedding.
    pub embedding_multiplier: f64,
    /// Factor on each residual branch.
    pub residual_multiplier: f64,
    /// Factor on attention scores; 0 means 1/√(attention head width).
    pub attention_multiplier: f64,
    /// Divisor of the logits.
    pub logits_scaling: f64,
    /// Standard deviation of initial weights.
    pub init_std: f64,
    /// Dropout probability on each residual branch while training.
    pub dropout: f64,
    /// Longest context promised to other programs (`max_position_embeddings`).
    pub max_seq_len: usize,
}

/// Shape of the learning rate over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Linear warm-up, then half a cosine down to `min_lr_ratio` (arXiv 1608.03983 without restarts).
    Cosine,
    /// Warm-up, stable, linear decay over the last `decay_fraction` (arXiv 2404.06395).
    Wsd,
}

/// `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: u64,
    /// Sequences a micro-batch (b).
    pub batch_size: usize,
    /// Tokens a sequence (l).
    pub seq_len: usize,
    /// Micro-batches whose mean gradient makes one step.
    pub grad_accum_steps: usize,
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
    /// AdamW β₁.
    pub beta1: f64,
    /// AdamW β₂.
    pub beta2: f64,
    /// AdamW ε.
    pub eps: f64,
    /// Decoupled weight decay, on matrices only.
    pub weight_decay: f64,
    /// Largest global norm of the gradient; 0 does not clip.
    pub grad_clip_norm: f64,
    /// Weight of the load-balancing loss.
    pub load_balance_coef: f64,
    /// Weight of the router z-loss.
    pub z_loss_coef: f64,
    /// Consecutive non-finite steps after which the run stops.
    pub max_skipped_steps: u64,
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

/// A whole configuration file, every default filled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
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

impl Default for RunConfig {
    fn default() -> Self {
        Self { dir: "runs/default".into(), seed: 42, threads: 0, device: "flex".into() }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: vec!["builtin:stories".into()],
            valid_source: vec![],
            valid_fraction: 0.02,
            builtin_bytes: 4_000_000,
            max_bytes: 0,
            separator: "<|endoftext|>".into(),
            text_field: "text".into(),
            hub_revision: "main".into(),
            cache_dir: "data/cache".into(),
        }
    }
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self { kind: TokenizerKind::Bpe, path: String::new() }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            vocab_size: 2048,
            d_model: 128,
            n_layers: 4,
            attention_layers: vec![2],
            d_state: 32,
            d_conv: 4,
            expand: 2,
            d_head: 32,
            n_groups: 1,
            chunk_len: 64,
            n_attention_heads: 4,
            n_kv_heads: 2,
            position_embedding: PositionEmbedding::None,
            rope_theta: 10_000.0,
            n_experts: 4,
            top_k: 2,
            d_expert: 128,
            d_shared: 128,
            tie_embeddings: true,
            rms_norm_eps: 1e-5,
            embedding_multiplier: 1.0,
            residual_multiplier: 1.0,
            attention_multiplier: 0.0,
            logits_scaling: 1.0,
            init_std: 0.02,
            dropout: 0.0,
            max_seq_len: 4096,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch_size: 16,
            seq_len: 256,
            grad_accum_steps: 1,
            lr: 2e-3,
            min_lr_ratio: 0.1,
            schedule: Schedule::Cosine,
            warmup_steps: 50,
            decay_fraction: 0.2,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            grad_clip_norm: 1.0,
            load_balance_coef: 0.01,
            z_loss_coef: 0.001,
            max_skipped_steps: 10,
        }
    }
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

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_steps: 100, keep_last: 2, keep_best: 1 }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { every_steps: 10, tensorboard: true }
    }
}

impl ModelConfig {
    /// Kind of the mixer of each layer.
    pub fn layer_kinds(&self) -> Vec<LayerKind> {
        (0..self.n_layers)
            .map(|i| if self.attention_layers.contains(&i) { LayerKind::Attention } else { LayerKind::Mamba })
            .collect()
    }

    /// Channels of the SSM branch (i).
    pub fn d_inner(&self) -> usize {
        self.expand * self.d_model
    }

    /// SSM heads (h).
    pub fn n_heads(&self) -> usize {
        self.d_inner() / self.d_head
    }

    /// Channels of the convolution: x, B and C side by side.
    pub fn d_conv_channels(&self) -> usize {
        self.d_inner() + 2 * self.n_groups * self.d_state
    }

    /// Rows of `in_proj`: z, the convolved channels, and one dt a head.
    pub fn d_in_proj(&self) -> usize {
        self.d_inner() + self.d_conv_channels() + self.n_heads()
    }

    /// Width of one attention head.
    pub fn d_attention_head(&self) -> usize {
        self.d_model / self.n_attention_heads
    }

    /// Factor on attention scores.
    pub fn attention_scale(&self) -> f64 {
        if self.attention_multiplier == 0.0 {
            1.0 / (self.d_attention_head() as f64).sqrt()
        } else {
            self.attention_multiplier
        }
    }
}

impl TrainConfig {
    /// Tokens that one optimiser step sees.
    pub fn tokens_per_step(&self) -> u64 {
        (self.batch_size * self.seq_len * self.grad_accum_steps) as u64
    }
}
