//! u → in_proj → [z | x B C | dt] → conv1d + silu → scan → rms_norm(y · silu(z)) → out_proj, added to the residual stream

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_ops::{Mamba2Shape, Mamba2State, Mamba2Weights, composite, linear, mamba2};
use itera_shape::ModelConfig;

use crate::{residual::Residual, weights::Weights};

/// Mamba-2 mixer (arXiv 2405.21060).
#[derive(Module, Debug)]
pub struct Mamba2 {
    in_proj: Param<Tensor<2>>,
    conv_weight: Param<Tensor<2>>,
    conv_bias: Param<Tensor<1>>,
    dt_bias: Param<Tensor<1>>,
    a_log: Param<Tensor<1>>,
    d_skip: Param<Tensor<1>>,
    norm: Param<Tensor<1>>,
    out_proj: Param<Tensor<2>>,
    #[module(skip)]
    shape: Mamba2Shape,
}

impl Mamba2 {
    pub(crate) fn load(config: &ModelConfig, weights: &mut Weights<'_>) -> Self {
        Self {
            in_proj: weights.next("in_proj"),
            conv_weight: weights.next("conv_weight"),
            conv_bias: weights.next("conv_bias"),
            dt_bias: weights.next("dt_bias"),
            a_log: weights.next("a_log"),
            d_skip: weights.next("d_skip"),
            norm: weights.next("norm"),
            out_proj: weights.next("out_proj"),
            shape: Mamba2Shape {
                n_heads: config.n_heads(),
                d_head: config.d_head,
                d_state: config.d_state,
                n_groups: config.n_groups,
                chunk_len: config.chunk_len,
                eps: config.rms_norm_eps,
            },
        }
    }

    /// `residual + m·mamba2(u·in_projᵀ)·out_projᵀ`, from a state to the next one; [`mamba2`] has the equations between.
    ///
    /// With `recurrent`, `u` is one position (l = 1) and goes through the recurrence; otherwise through the chunked scan.
    ///
    /// # Shapes
    /// `u`, `residual`: [b, l, d] → ([b, l, d], next state)
    pub(crate) fn forward(
        &self,
        u_bld: Tensor<3>,
        state: Mamba2State,
        recurrent: bool,
        residual: Residual<'_>,
    ) -> (Tensor<3>, Mamba2State) {
        let projected = linear(u_bld, self.in_proj.val());
        let weights = Mamba2Weights {
            conv_weight: self.conv_weight.val(),
            conv_bias: self.conv_bias.val(),
            dt_bias: self.dt_bias.val(),
            a_log: self.a_log.val(),
            d_skip: self.d_skip.val(),
            norm: self.norm.val(),
        };
        let mix = if recurrent { composite::mamba2_step } else { mamba2 };
        let (y, state) = mix(projected, weights, state, &self.shape);
        (residual.join_linear(y, self.out_proj.val()), state)
    }
}
