//! [q | k | v] → rope → softmax(q·kᵀ·scale, causal) · v

pub(crate) mod composite;
#[cfg(feature = "flex")]
mod flex;
mod types;

use burn::tensor::{Tensor, assert_shape};

pub use types::{AttentionShape, PastKeysValues, Rope};

use crate::dispatch::dispatch;

/// Causal grouped-query attention (arXiv 1706.03762, 2305.13245) of new positions over past and new ones:
/// `y = softmax(q·kᵀ·scale) · v` for each query head.
///
/// The fused form serves sequences without a past, as training and the first piece of a text are; its keys and values
/// carry no gradient. Others are composed.
///
/// # Shapes
/// `qkv`: [b, l, (heads + 2·kv_heads)·w]: queries, keys and values of a position side by side; `past`: keys and values,
/// each [b, kv_heads, past, w] → (y [b, l, heads·w], (k, v) of past + l positions)
///
/// # Panics
/// If the shapes do not fit.
pub fn causal_attention(
    qkv: Tensor<3>,
    past: Option<PastKeysValues>,
    shape: &AttentionShape,
) -> (Tensor<3>, PastKeysValues) {
    let AttentionShape { n_heads, n_kv_heads, d_head, .. } = *shape;
    let [b, _, _] = qkv.dims();
    assert_shape!(qkv, [b, _, (n_heads + 2 * n_kv_heads) * d_head]);
    if let Some((keys, values)) = &past {
        let [_, _, past, _] = keys.dims();
        assert_shape!(keys, [b, n_kv_heads, past, d_head]);
        assert_shape!(values, [b, n_kv_heads, past, d_head]);
    }
    dispatch!(flex: &qkv => causal_attention(qkv, past, shape))
}
