//! [z | x B C | dt] → conv + silu over x B C → scan → rms_norm(y · silu(z))

pub(crate) mod composite;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub(crate) mod scan;
mod types;

use burn::tensor::{Tensor, assert_shape};

pub use types::{Mamba2Shape, Mamba2State, Mamba2Weights};

use crate::dispatch::dispatch;

/// The mixer between its projections, over a whole (piece of a) sequence.
///
/// ```text
/// x | B | C = silu(conv(x | B | C))        Δ = softplus(dt + dt_bias)      a_t = exp(−exp(a_log)·Δ_t)
/// S_t = a_t·S_{t−1} + Δ_t·x_t ⊗ B_t        y_t = S_t·C_t + d_skip·x_t
/// y   = rms_norm(y · silu(z))
/// ```
///
/// # Shapes
/// `projected`: [b, l, i + ch + h]: z, the input of the convolution, and Δ before bias and softplus → [b, l, i]
///
/// # Panics
/// If the shapes do not fit.
pub fn mamba2(
    projected: Tensor<3>,
    weights: Mamba2Weights,
    state: Mamba2State,
    shape: &Mamba2Shape,
) -> (Tensor<3>, Mamba2State) {
    let Mamba2Shape { n_heads, d_head, d_state, .. } = *shape;
    let (i, ch, b) = (shape.d_inner(), shape.d_conv_channels(), projected.dims()[0]);
    let taps = weights.conv_weight.dims()[1];
    assert_shape!(projected, [b, _, i + ch + n_heads]);
    assert_shape!(weights.conv_weight, [ch, taps]);
    assert_shape!(weights.conv_bias, [ch]);
    assert_shape!(weights.dt_bias, [n_heads]);
    assert_shape!(weights.a_log, [n_heads]);
    assert_shape!(weights.d_skip, [n_heads]);
    assert_shape!(weights.norm, [i]);
    assert_shape!(state.conv, [b, taps - 1, ch]);
    assert_shape!(state.ssm, [b, n_heads, d_head, d_state]);
    dispatch!(flex, cube: &projected => mamba2(projected, weights, state, shape))
}
