//! [z | x B C | dt] → conv + silu over x B C → scan → rms_norm(y · silu(z))

use burn::tensor::{
    Tensor,
    activation::{silu, softplus},
};

use super::{
    scan::{ScanInput, chunked_scan, recurrent_step},
    types::{Mamba2Shape, Mamba2State, Mamba2Weights},
};
use crate::norm::composite::gated_rms_norm;

/// Composite of [`crate::mamba2()`].
///
/// # Shapes
/// `projected`: [b, l, i + ch + h] → [b, l, i]
pub fn mamba2(
    projected: Tensor<3>,
    weights: Mamba2Weights,
    state: Mamba2State,
    shape: &Mamba2Shape,
) -> (Tensor<3>, Mamba2State) {
    mix(projected, weights, state, shape, |input, ssm| chunked_scan(input, ssm, shape.chunk_len))
}

/// [`mamba2`] for one position, by the recurrence.
///
/// # Shapes
/// `projected`: [b, 1, i + ch + h] → [b, 1, i]
pub fn mamba2_step(
    projected: Tensor<3>,
    weights: Mamba2Weights,
    state: Mamba2State,
    shape: &Mamba2Shape,
) -> (Tensor<3>, Mamba2State) {
    mix(projected, weights, state, shape, recurrent_step)
}

fn mix(
    projected: Tensor<3>,
    weights: Mamba2Weights,
    state: Mamba2State,
    shape: &Mamba2Shape,
    scan: impl FnOnce(ScanInput, Tensor<4>) -> (Tensor<4>, Tensor<4>),
) -> (Tensor<3>, Mamba2State) {
    let [batch, len, _] = projected.dims();
    let Mamba2Shape { n_heads: h, d_head: p, d_state: n, n_groups: g, eps, .. } = *shape;
    let (i, ch) = (shape.d_inner(), shape.d_conv_channels());
    let z = projected.clone().narrow(2, 0, i);
    let xbc = projected.clone().narrow(2, i, ch);
    let dt = projected.narrow(2, i + ch, h);

    let (xbc, conv) = causal_conv_silu(xbc, weights.conv_weight, weights.conv_bias, state.conv);
    let input = ScanInput {
        x: xbc.clone().narrow(2, 0, i).reshape([batch, len, h, p]),
        dt: softplus(dt + weights.dt_bias.unsqueeze(), 1.0),
        a: weights.a_log.exp().neg(),
        b: xbc.clone().narrow(2, i, g * n).reshape([batch, len, g, n]),
        c: xbc.narrow(2, i + g * n, g * n).reshape([batch, len, g, n]),
        d_skip: weights.d_skip,
    };
    let (y, ssm) = scan(input, state.ssm);
    let y = gated_rms_norm(y.reshape([batch, len, i]), z, weights.norm, g, eps);
    (y, Mamba2State { conv, ssm })
}

/// Causal depthwise convolution and SiLU, carrying the inputs that the next position still sees.
///
/// `y_t = silu(bias + Σ_j w_j · x_{t − (k−1) + j})`, with `x` before the first position read from `state`.
///
/// # Shapes
/// `x`: [b, l, ch], `w`: [ch, k], `bias`: `[ch]`, `state`: [b, k−1, ch] → (y [b, l, ch], state [b, k−1, ch])
pub fn causal_conv_silu(x: Tensor<3>, w: Tensor<2>, bias: Tensor<1>, state: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let [_, l, ch] = x.dims();
    let k = w.dims()[1];
    let padded = Tensor::cat(vec![state, x], 1);
    let mut sum = bias.reshape([1, 1, ch]);
    for tap in 0..k {
        let w_tap = w.clone().narrow(1, tap, 1).reshape([1, 1, ch]);
        sum = padded.clone().narrow(1, tap, l) * w_tap + sum;
    }
    (silu(sum), padded.narrow(1, l, k - 1))
}
