//! [q | k | v] → rope → softmax(q·kᵀ·scale, causal) · v

use burn::tensor::Tensor;

use crate::composite;

/// Rotary position embedding (arXiv 2104.09864), rotating the first half of a head against the second.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// Base wavelength θ.
    pub theta: f64,
}

/// Heads of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; each serves n_heads / n_kv_heads query heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Factor on the scores.
    pub scale: f64,
    /// Position embedding, if any.
    pub rope: Option<Rope>,
}

/// Keys and values of past positions, each [b, kv_heads, past, w]; keys are rotated.
pub type PastKeysValues = (Tensor<4>, Tensor<4>);

/// Causal grouped-query attention (arXiv 1706.03762, 2305.13245) of new positions over past and new ones.
///
/// Gradients reach the past in the composite form alone: whoever trains starts sequences without a past.
///
/// # Shapes
/// `qkv`: [b, l, (heads + 2·kv_heads)·w]: queries, keys and values of a position side by side
/// → (y [b, l, heads·w], (k, v) of past + l positions)
pub fn causal_attention(
    qkv: Tensor<3>,
    past: Option<PastKeysValues>,
    shape: &AttentionShape,
) -> (Tensor<3>, PastKeysValues) {
    composite::causal_attention(qkv, past, shape)
}
