//! u → q, k, v → causal attention → o_proj

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_config::{ModelConfig, PositionEmbedding};
use itera_ops::{AttentionShape, Rope, causal_attention, linear};

use crate::parameters::Source;

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
    pub(crate) fn load(config: &ModelConfig, source: &mut Source<'_>) -> Self {
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
        Self { q_proj: source.next(), k_proj: source.next(), v_proj: source.next(), o_proj: source.next(), shape }
    }

    /// Mix positions of `u` [b, l, d] over the past keys and values and themselves.
    ///
    /// # Shapes
    /// past: keys and values, each [b, kv_heads, positions, head width], before and after; → [b, l, d]
    pub fn forward(
        &self,
        u: Tensor<3>,
        past: Option<(Tensor<4>, Tensor<4>)>,
    ) -> (Tensor<3>, Option<(Tensor<4>, Tensor<4>)>) {
        let q = linear(u.clone(), self.q_proj.val());
        let k = linear(u.clone(), self.k_proj.val());
        let v = linear(u, self.v_proj.val());
        let (y, past) = causal_attention(q, k, v, past, &self.shape);
        (linear(y, self.o_proj.val()), Some(past))
    }
}
