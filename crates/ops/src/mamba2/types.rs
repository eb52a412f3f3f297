//! Sizes, weights and state of a Mamba-2 mixer.

#[cfg(any(feature = "flex", feature = "cube"))]
use burn::backend::DispatchTensor;
use burn::tensor::Tensor;

/// Sizes of a Mamba-2 mixer (arXiv 2405.21060).
#[derive(Clone, Copy, Debug)]
pub struct Mamba2Shape {
    /// SSM heads.
    pub n_heads: usize,
    /// Channels of a head.
    pub d_head: usize,
    /// State of a channel.
    pub d_state: usize,
    /// Groups of heads that share B and C, and of channels that are normalised together.
    pub n_groups: usize,
    /// Positions of a chunk of the composite scan; the fused scan has a length of its own.
    pub chunk_len: usize,
    /// ε of the norm.
    pub eps: f64,
}

impl Mamba2Shape {
    /// Channels of all heads.
    pub fn d_inner(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Channels of the convolution: x, B and C.
    pub fn d_conv_channels(&self) -> usize {
        self.d_inner() + 2 * self.n_groups * self.d_state
    }
}

/// Weights between the two projections of a Mamba-2 mixer.
#[derive(Clone, Debug)]
pub struct Mamba2Weights {
    /// Taps [ch, d_conv].
    pub conv_weight: Tensor<2>,
    /// `[ch]`
    pub conv_bias: Tensor<1>,
    /// Added to Δ before softplus `[h]`.
    pub dt_bias: Tensor<1>,
    /// ln of −A `[h]`.
    pub a_log: Tensor<1>,
    /// D `[h]`.
    pub d_skip: Tensor<1>,
    /// `[i]`
    pub norm: Tensor<1>,
}

/// What a Mamba-2 mixer remembers.
#[derive(Clone, Debug)]
pub struct Mamba2State {
    /// Inputs that the convolution still sees [b, d_conv − 1, ch].
    pub conv: Tensor<3>,
    /// S of the recurrence [b, h, p, n].
    pub ssm: Tensor<4>,
}

/// What a fused form takes: projection, conv_weight, conv_bias, dt_bias, a_log, d_skip, norm, conv state, ssm state.
#[cfg(any(feature = "flex", feature = "cube"))]
pub(super) fn inputs(projected: Tensor<3>, weights: Mamba2Weights, state: Mamba2State) -> [DispatchTensor; 9] {
    [
        projected.into_dispatch(),
        weights.conv_weight.into_dispatch(),
        weights.conv_bias.into_dispatch(),
        weights.dt_bias.into_dispatch(),
        weights.a_log.into_dispatch(),
        weights.d_skip.into_dispatch(),
        weights.norm.into_dispatch(),
        state.conv.into_dispatch(),
        state.ssm.into_dispatch(),
    ]
}

/// What a fused form gives: the mixed rows and both states.
#[cfg(any(feature = "flex", feature = "cube"))]
pub(super) fn outputs([y, conv, ssm]: [DispatchTensor; 3]) -> (Tensor<3>, Mamba2State) {
    (Tensor::from_dispatch(y), Mamba2State { conv: Tensor::from_dispatch(conv), ssm: Tensor::from_dispatch(ssm) })
}
