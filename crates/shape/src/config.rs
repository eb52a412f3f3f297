//! `[model]`: the shape of the network

use serde::{Deserialize, Serialize};

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
    /// Width of an attention head; 0 means d_model / n_attention_heads.
    pub attention_head_dim: usize,
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
            attention_head_dim: 0,
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

impl ModelConfig {
    /// Kind of the mixer of each layer.
    pub fn layer_kinds(&self) -> Vec<LayerKind> {
        (0..self.n_layers)
            .map(|i| if self.attention_layers.contains(&i) { LayerKind::Attention } else { LayerKind::Mamba })
            .collect()
    }

    /// Channels of the SSM branch (i).
    pub fn d_inner(&self) -> usize {
        self.expand.saturating_mul(self.d_model)
    }

    /// SSM heads (h).
    pub fn n_heads(&self) -> usize {
        self.d_inner() / self.d_head
    }

    /// Channels of the convolution: x, B and C side by side.
    pub fn d_conv_channels(&self) -> usize {
        self.d_inner().saturating_add(self.n_groups.saturating_mul(self.d_state).saturating_mul(2))
    }

    /// Rows of `in_proj`: z, the convolved channels, and one dt a head.
    pub fn d_in_proj(&self) -> usize {
        self.d_inner().saturating_add(self.d_conv_channels()).saturating_add(self.n_heads())
    }

    /// Width of one attention head.
    pub fn d_attention_head(&self) -> usize {
        if self.attention_head_dim == 0 { self.d_model / self.n_attention_heads } else { self.attention_head_dim }
    }

    /// Width of all query heads side by side.
    pub fn d_queries(&self) -> usize {
        self.n_attention_heads.saturating_mul(self.d_attention_head())
    }

    /// Width of all key heads side by side, and of all value heads.
    pub fn d_keys(&self) -> usize {
        self.n_kv_heads.saturating_mul(self.d_attention_head())
    }

    /// Factor on attention scores.
    pub fn attention_scale(&self) -> f64 {
        if self.attention_multiplier == 0.0 {
            1.0 / (self.d_attention_head() as f64).sqrt()
        } else {
            self.attention_multiplier
        }
    }

    /// The same model with 0 where the width of an attention head or the factor on its scores is what 0 means. Factors
    /// are the same if they are in f32.
    pub fn with_usual_attention(mut self) -> Self {
        if self.n_attention_heads.checked_mul(self.attention_head_dim) == Some(self.d_model) {
            self.attention_head_dim = 0;
        }
        let usual = Self { attention_multiplier: 0.0, ..self.clone() };
        if usual.attention_scale() as f32 == self.attention_multiplier as f32 { usual } else { self }
    }
}
