//! u → in_proj → [z | x B C | dt] → conv1d + silu → scan → rms_norm(y · silu(z)) → out_proj, added to the residual stream

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_ops::{Mamba2Shape, Mamba2State, Mamba2Weights, composite, linear, mamba2};
use itera_shape::ModelConfig;

use crate::{parameters::Source, residual::Residual};

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
    pub(crate) fn load(config: &ModelConfig, source: &mut Source<'_>) -> Self {
        Self {
            in_proj: source.next(),
            conv_weight: source.next(),
            conv_bias: source.next(),
            dt_bias: source.next(),
            a_log: source.next(),
            d_skip: source.next(),
            norm: source.next(),
            out_proj: source.next(),
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

    /// Mix positions of `u` [b, l, d] from a state to the next one, and add the result to `residual`.
    ///
    /// With `recurrent`, `u` is one position (l = 1) and goes through the recurrence; otherwise through the chunked scan.
    pub(crate) fn forward(
        &self,
        u: Tensor<3>,
        state: Mamba2State,
        recurrent: bool,
        residual: Residual<'_>,
    ) -> (Tensor<3>, Mamba2State) {
        let projected = linear(u, self.in_proj.val());
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
