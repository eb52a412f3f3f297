//! u → q | k | v → causal attention → o_proj, added to the residual stream

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_ops::{AttentionShape, PastKeysValues, Rope, causal_attention, linear};
use itera_shape::{ModelConfig, PositionEmbedding};

use crate::{residual::Residual, weights::Weights};

/// Causal grouped-query attention.
#[derive(Module, Debug)]
pub struct Attention {
    q_proj: Param<Tensor<2>>,
    k_proj: Param<Tensor<2>>,
    v_proj: Param<Tensor<2>>,
    o_proj: Param<Tensor<2>>,
    #[module(skip)]
    shape: AttentionShape,
}

impl Attention {
    pub(crate) fn load(config: &ModelConfig, weights: &mut Weights<'_>) -> Self {
        let shape = AttentionShape {
            n_heads: config.n_attention_heads,
            n_kv_heads: config.n_kv_heads,
            d_head: config.d_attention_head(),
            scale: config.attention_scale(),
            rope: match config.position_embedding {
                PositionEmbedding::None => None,
                PositionEmbedding::Rope => Some(Rope { theta: config.rope_theta }),
            },
        };
        Self {
            q_proj: weights.next("q_proj"),
            k_proj: weights.next("k_proj"),
            v_proj: weights.next("v_proj"),
            o_proj: weights.next("o_proj"),
            shape,
        }
    }

    /// `residual + m·(softmax(q·kᵀ·scale)·v)·o_projᵀ`, `q | k | v = u·[q_proj | k_proj | v_proj]ᵀ`, over the positions of
    /// the past and of `u`.
    ///
    /// # Shapes
    /// `u`, `residual`: [b, l, d] → ([b, l, d], keys and values of past + l positions)
    pub(crate) fn forward(
        &self,
        u_bld: Tensor<3>,
        past: Option<PastKeysValues>,
        residual: Residual<'_>,
    ) -> (Tensor<3>, PastKeysValues) {
        let qkv_proj = Tensor::cat(vec![self.q_proj.val(), self.k_proj.val(), self.v_proj.val()], 0);
        let (y, past) = causal_attention(linear(u_bld, qkv_proj), past, &self.shape);
        (residual.join_linear(y, self.o_proj.val()), past)
    }
}
