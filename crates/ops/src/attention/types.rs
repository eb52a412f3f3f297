//! Sizes of an attention layer, and what it remembers.

use burn::tensor::Tensor;

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
    /// Width w of a head.
    pub d_head: usize,
    /// Factor on the scores.
    pub scale: f64,
    /// Position embedding; `None` leaves positions to the mask alone.
    pub rope: Option<Rope>,
}

/// Keys and values of past positions, each [b, kv_heads, past, w]; keys are rotated.
pub type PastKeysValues = (Tensor<4>, Tensor<4>);
