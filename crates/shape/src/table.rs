//! configuration → every tensor, in model order
//!
//! ```text
//! embed [v, d]
//! layers.{i}.mixer_norm [d]
//!           .mamba.in_proj [2·i + 2·g·n + h, d]  .conv_weight [channels, d_conv]  .conv_bias  .dt_bias [h]  .a_log [h]
//!                 .d_skip [h]  .norm [i]  .out_proj [d, i]
//!        or .attention.q_proj [queries, d]  .k_proj [keys, d]  .v_proj [keys, d]  .o_proj [d, queries]
//!           .ffn_norm [d]
//!           .moe.router [e, d]  .w_in [e, 2·f, d]  .w_out [e, d, f]                    absent if dense
//!           .shared.w_in [2·d_shared, d]  .w_out [d, d_shared]
//! norm [d]
//! head [v, d]                                                                          absent if tied
//! ```

use crate::config::{LayerKind, ModelConfig};

/// What a tensor does; compression recipes choose by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorRole {
    /// Token embedding, and the head where they are tied.
    Embedding,
    /// Gain of an RMSNorm.
    Norm,
    /// Projection into the mamba mixer; rows z, x, B, C, dt.
    InProj,
    /// Taps and bias of the causal convolution.
    Conv,
    /// a_log, dt_bias and d_skip.
    Ssm,
    /// Projection out of the mamba mixer.
    OutProj,
    /// Projections of an attention mixer.
    Attention,
    /// Router.
    Router,
    /// Matrices of all experts of a layer.
    Experts,
    /// Matrices of the shared expert.
    Shared,
    /// Head that is not tied to the embedding.
    Head,
}

impl TensorRole {
    /// The word for it in recipes, tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Norm => "norms",
            Self::InProj => "in_proj",
            Self::Conv => "conv",
            Self::Ssm => "ssm",
            Self::OutProj => "out_proj",
            Self::Attention => "attention",
            Self::Router => "router",
            Self::Experts => "experts",
            Self::Shared => "shared",
            Self::Head => "head",
        }
    }

    /// Whether it is a matrix from one hidden representation to another: not what reads tokens, predicts them or routes.
    pub fn is_hidden(self) -> bool {
        self.is_matrix() && !matches!(self, Self::Embedding | Self::Head)
    }

    /// Whether it is large and multiplied with, so that deployed files pack it. The others stay in f32: vectors, the few
    /// taps of the convolution, and the router, whose choices rounding would change.
    pub fn is_matrix(self) -> bool {
        !matches!(self, Self::Norm | Self::Conv | Self::Ssm | Self::Router)
    }
}

/// The values a tensor starts with; `itera-model` draws them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// All 1: gains of norms, and the skip connection.
    Ones,
    /// All 0: biases.
    Zeros,
    /// Normal with deviation `init_std`.
    Normal,
    /// Normal with deviation `init_std / √(2·n_layers)`, for what writes into the residual stream (GPT-2, §2.3): the
    /// variance of the stream does not grow with depth.
    ResidualNormal,
    /// Uniform in ±1/√d_conv: the taps of the convolution.
    Taps,
    /// Logarithms of decay rates A.
    DecayLog,
    /// softplus⁻¹ of step sizes Δ.
    StepBias,
}

/// A tensor that the model has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Unique name, such as `layers.0.mamba.in_proj`.
    pub name: String,
    /// Rows first; a product takes the last dimension away.
    pub shape: Vec<usize>,
    /// What it does.
    pub role: TensorRole,
    /// How it starts.
    pub init: Init,
    /// Share of its parameters that one token uses, as numerator and denominator: k of e for experts, 1 of 1 otherwise.
    pub active_share: (usize, usize),
    /// Rows of the matrices that lie in it one below the other, repeated up to its end: a projection to several things is
    /// several matrices, and all experts of a layer share a tensor. Empty if it holds none.
    pub matrix_rows: Vec<usize>,
}

impl TensorSpec {
    /// Parameters; saturates, like all sizes here, so that absurd shapes are too large rather than a panic.
    pub fn n_params(&self) -> usize {
        self.shape.iter().fold(1, |product: usize, size| product.saturating_mul(*size))
    }

    /// Whether weight decay applies: to matrices, not to vectors or the taps of the convolution.
    pub fn decays(&self) -> bool {
        self.shape.len() >= 2 && self.role != TensorRole::Conv
    }

    /// Rows of each matrix in it.
    pub fn matrices(&self) -> Vec<usize> {
        let cols = self.shape.last().copied().unwrap_or(1).max(1);
        let times = (self.n_params() / cols).checked_div(self.matrix_rows.iter().sum()).unwrap_or(0);
        self.matrix_rows.repeat(times)
    }

    /// Parameters that one token uses.
    pub fn n_active_params(&self) -> usize {
        let (used, of) = self.active_share;
        self.n_params() / of * used
    }
}

/// Name within a layer, role, start, shape, rows of the matrices.
type Part = (&'static str, TensorRole, Init, Vec<usize>, Vec<usize>);

impl ModelConfig {
    /// Every tensor of the model, in the order in which a token meets them. The configuration is a valid one.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let (v, d) = (self.vocab_size, self.d_model);
        let mut tensors = vec![self.tensor("embed".into(), TensorRole::Embedding, Init::Normal, vec![v, d], vec![v])];
        for (index, kind) in self.layer_kinds().into_iter().enumerate() {
            let mixer = match kind {
                LayerKind::Mamba => self.mamba_parts(),
                LayerKind::Attention => self.attention_parts(),
            };
            let norm = |name| [(name, TensorRole::Norm, Init::Ones, vec![d], vec![])];
            let parts = norm("mixer_norm").into_iter().chain(mixer).chain(norm("ffn_norm")).chain(self.ffn_parts());
            let named = |(name, role, init, shape, matrix_rows)| {
                self.tensor(format!("layers.{index}.{name}"), role, init, shape, matrix_rows)
            };
            tensors.extend(parts.map(named));
        }
        tensors.push(self.tensor("norm".into(), TensorRole::Norm, Init::Ones, vec![d], vec![]));
        if !self.tie_embeddings {
            tensors.push(self.tensor("head".into(), TensorRole::Head, Init::Normal, vec![v, d], vec![v]));
        }
        tensors
    }

    fn tensor(
        &self,
        name: String,
        role: TensorRole,
        init: Init,
        shape: Vec<usize>,
        matrix_rows: Vec<usize>,
    ) -> TensorSpec {
        let active_share = if role == TensorRole::Experts { (self.top_k, self.n_experts) } else { (1, 1) };
        TensorSpec { name, shape, role, init, active_share, matrix_rows }
    }

    fn mamba_parts(&self) -> Vec<Part> {
        let (d, i, h, channels) = (self.d_model, self.d_inner(), self.n_heads(), self.d_conv_channels());
        let states = self.n_groups * self.d_state;
        vec![
            (
                "mamba.in_proj",
                TensorRole::InProj,
                Init::Normal,
                vec![self.d_in_proj(), d],
                vec![i, i, states, states, h],
            ),
            ("mamba.conv_weight", TensorRole::Conv, Init::Taps, vec![channels, self.d_conv], vec![]),
            ("mamba.conv_bias", TensorRole::Conv, Init::Zeros, vec![channels], vec![]),
            ("mamba.dt_bias", TensorRole::Ssm, Init::StepBias, vec![h], vec![]),
            ("mamba.a_log", TensorRole::Ssm, Init::DecayLog, vec![h], vec![]),
            ("mamba.d_skip", TensorRole::Ssm, Init::Ones, vec![h], vec![]),
            ("mamba.norm", TensorRole::Norm, Init::Ones, vec![i], vec![]),
            ("mamba.out_proj", TensorRole::OutProj, Init::ResidualNormal, vec![d, i], vec![d]),
        ]
    }

    fn attention_parts(&self) -> Vec<Part> {
        let (d, queries, keys) = (self.d_model, self.d_queries(), self.d_keys());
        vec![
            ("attention.q_proj", TensorRole::Attention, Init::Normal, vec![queries, d], vec![queries]),
            ("attention.k_proj", TensorRole::Attention, Init::Normal, vec![keys, d], vec![keys]),
            ("attention.v_proj", TensorRole::Attention, Init::Normal, vec![keys, d], vec![keys]),
            ("attention.o_proj", TensorRole::Attention, Init::ResidualNormal, vec![d, queries], vec![d]),
        ]
    }

    fn ffn_parts(&self) -> Vec<Part> {
        let (d, e, f, d_shared) = (self.d_model, self.n_experts, self.d_expert, self.d_shared);
        let mut parts = vec![];
        if e > 0 {
            parts.extend([
                ("moe.router", TensorRole::Router, Init::Normal, vec![e, d], vec![e]),
                ("moe.w_in", TensorRole::Experts, Init::Normal, vec![e, 2 * f, d], vec![f]),
                ("moe.w_out", TensorRole::Experts, Init::ResidualNormal, vec![e, d, f], vec![d]),
            ]);
        }
        parts.extend([
            ("shared.w_in", TensorRole::Shared, Init::Normal, vec![2 * d_shared, d], vec![d_shared]),
            ("shared.w_out", TensorRole::Shared, Init::ResidualNormal, vec![d, d_shared], vec![d]),
        ]);
        parts
    }
}
