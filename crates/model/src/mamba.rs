//! u → in_proj → [z | x B C | dt] → conv1d + silu → scan → rms_norm(y · silu(z)) → out_proj

use burn::{
    module::{Module, Param},
    tensor::{Tensor, activation::softplus},
};
use itera_config::ModelConfig;
use itera_ops::{ScanInput, causal_conv_silu, chunked_scan, gated_rms_norm, linear, recurrent_step};

use crate::parameters::Source;

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
    config: ModelConfig,
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
            config: config.clone(),
        }
    }

    /// Mix positions of `u` [b, l, d], from the state (conv, ssm) and to the next one.
    ///
    /// With `recurrent`, `u` is one position (l = 1) and goes through the recurrence; otherwise through the chunked scan.
    ///
    /// # Shapes
    /// conv: [b, d_conv − 1, channels], ssm: [b, h, p, n], before and after; → [b, l, d]
    pub fn forward(
        &self,
        u: Tensor<3>,
        (conv, ssm): (Tensor<3>, Tensor<4>),
        recurrent: bool,
    ) -> (Tensor<3>, (Tensor<3>, Tensor<4>)) {
        let [batch, len, _] = u.dims();
        let ModelConfig { d_state: n, n_groups: g, d_head: p, .. } = self.config;
        let (d_inner, h, channels) = (self.config.d_inner(), self.config.n_heads(), self.config.d_conv_channels());

        let projected = linear(u, self.in_proj.val());
        let z = projected.clone().narrow(2, 0, d_inner);
        let xbc = projected.clone().narrow(2, d_inner, channels);
        let dt = projected.narrow(2, d_inner + channels, h);

        let (xbc, conv) = causal_conv_silu(xbc, self.conv_weight.val(), self.conv_bias.val(), conv);
        let input = ScanInput {
            x: xbc.clone().narrow(2, 0, d_inner).reshape([batch, len, h, p]),
            dt: softplus(dt + self.dt_bias.val().unsqueeze(), 1.0),
            a: self.a_log.val().exp().neg(),
            b: xbc.clone().narrow(2, d_inner, g * n).reshape([batch, len, g, n]),
            c: xbc.narrow(2, d_inner + g * n, g * n).reshape([batch, len, g, n]),
            d_skip: self.d_skip.val(),
        };
        let (y, ssm) =
            if recurrent { recurrent_step(input, ssm) } else { chunked_scan(input, ssm, self.config.chunk_len) };

        let y = gated_rms_norm(y.reshape([batch, len, d_inner]), z, self.norm.val(), g, self.config.rms_norm_eps);
        (linear(y, self.out_proj.val()), (conv, ssm))
    }
}
