//! The causal depthwise convolution and SiLU: a unit a channel of a position.

use cubecl::prelude::*;

use crate::cube::{
    array::{Array, units, zeros},
    maths::{Registers, sigmoid, silu_slope},
    reduce::column_sums,
};

/// Positions that a unit adds up for the gradient of the weights.
const POSITIONS: usize = 64;

/// Which columns of the projection it reads.
pub(super) struct Conv {
    pub start: usize,
    pub channels: usize,
}

pub(super) struct ConvGradients {
    pub weight: Array,
    pub bias: Array,
    pub state: Array,
}

impl Conv {
    /// `projected`: [b, l, ·], `weight`: [ch, k], `bias`: `[ch]`, `state`: [b, k − 1, ch] → ([b, l, ch], next state)
    pub(super) fn forward(&self, projected: &Array, weight: &Array, bias: &Array, state: &Array) -> (Array, Array) {
        let Self { start, channels } = *self;
        let (batch, len, taps) = (projected.shape()[0], projected.shape()[1], weight.width());
        let client = projected.client();
        let y = projected.beside([batch, len, channels]);
        let (count, dim) = units(client, y.len());
        let stride = projected.width();
        convolve::launch(
            client,
            count,
            dim,
            projected.arg(),
            weight.arg(),
            bias.arg(),
            state.arg(),
            y.arg(),
            len,
            stride,
            start,
            channels,
            taps,
        );
        let next = state.like();
        let (count, dim) = units(client, next.len());
        next_state::launch(
            client,
            count,
            dim,
            projected.arg(),
            state.arg(),
            next.arg(),
            len,
            stride,
            start,
            channels,
            taps,
        );
        (y, next)
    }

    /// Gradients from `dy` and that of the next state; that of the input is written into its columns of `d_projected`.
    #[expect(clippy::too_many_arguments, reason = "what forward had, and the gradients of what it made")]
    pub(super) fn backward(
        &self,
        projected: &Array,
        weight: &Array,
        bias: &Array,
        state: &Array,
        dy: &Array,
        d_next: Option<Array>,
        d_projected: &Array,
    ) -> ConvGradients {
        let Self { start, channels } = *self;
        let (batch, len, taps) = (projected.shape()[0], projected.shape()[1], weight.width());
        let client = projected.client();
        let stride = projected.width();
        let d_sum = dy.like();
        let (count, dim) = units(client, d_sum.len());
        sum_gradient::launch(
            client,
            count,
            dim,
            projected.arg(),
            weight.arg(),
            bias.arg(),
            state.arg(),
            dy.arg(),
            d_sum.arg(),
            len,
            stride,
            start,
            channels,
            taps,
        );
        let d_state = state.like();
        let d_next = d_next.unwrap_or_else(|| zeros(state));
        let (count, dim) = units(client, batch * (len + taps - 1) * channels);
        input_gradient::launch(
            client,
            count,
            dim,
            weight.arg(),
            d_sum.arg(),
            d_next.arg(),
            d_projected.arg(),
            d_state.arg(),
            batch,
            len,
            stride,
            start,
            channels,
            taps,
        );
        let blocks = batch * len.div_ceil(POSITIONS);
        let partial_weights = projected.beside([blocks, channels * taps]);
        let partial_biases = projected.beside([blocks, channels]);
        let (count, dim) = units(client, blocks * channels);
        weight_gradient::launch(
            client,
            count,
            dim,
            projected.arg(),
            state.arg(),
            d_sum.arg(),
            partial_weights.arg(),
            partial_biases.arg(),
            len,
            stride,
            start,
            channels,
            taps,
            POSITIONS,
        );
        ConvGradients { weight: column_sums(&partial_weights), bias: column_sums(&partial_biases), state: d_state }
    }
}

/// The input of a channel at `position − (taps − 1)`, which the state has before the first one.
#[cube]
fn input(
    projected: &[f32],
    state: &[f32],
    sequence: usize,
    position: usize,
    channel: usize,
    len: usize,
    stride: usize,
    start: usize,
    #[comptime] channels: usize,
    #[comptime] taps: usize,
) -> f32 {
    let before = comptime![taps - 1];
    if position < before {
        state[(sequence * before + position) * channels + channel]
    } else {
        projected[(sequence * len + position - before) * stride + start + channel]
    }
}

/// What SiLU is taken of.
#[cube]
fn sum(
    projected: &[f32],
    weight: &[f32],
    bias: &[f32],
    state: &[f32],
    row: usize,
    channel: usize,
    len: usize,
    stride: usize,
    start: usize,
    #[comptime] channels: usize,
    #[comptime] taps: usize,
) -> f32 {
    let sequence = row / len;
    let position = row % len;
    let mut sum = bias[channel];
    #[unroll]
    for tap in 0..taps {
        let x = input(projected, state, sequence, position + tap, channel, len, stride, start, channels, taps);
        sum += x * weight[channel * taps + tap];
    }
    sum
}

#[cube(launch)]
fn convolve(
    projected: &[f32],
    weight: &[f32],
    bias: &[f32],
    state: &[f32],
    y: &mut [f32],
    len: usize,
    stride: usize,
    start: usize,
    #[comptime] channels: usize,
    #[comptime] taps: usize,
) {
    let at = ABSOLUTE_POS;
    if at < y.len() {
        let sum = sum(projected, weight, bias, state, at / channels, at % channels, len, stride, start, channels, taps);
        y[at] = sum * sigmoid(sum);
    }
}

#[cube(launch)]
fn next_state(
    projected: &[f32],
    state: &[f32],
    next: &mut [f32],
    len: usize,
    stride: usize,
    start: usize,
    #[comptime] channels: usize,
    #[comptime] taps: usize,
) {
    let at = ABSOLUTE_POS;
    if at < next.len() {
        let before = comptime![taps - 1];
        let row = at / channels;
        let position = len + row % before;
        next[at] = input(projected, state, row / before, position, at % channels, len, stride, start, channels, taps);
    }
}

#[cube(launch)]
fn sum_gradient(
    projected: &[f32],
    weight: &[f32],
    bias: &[f32],
    state: &[f32],
    dy: &[f32],
    d_sum: &mut [f32],
    len: usize,
    stride: usize,
    start: usize,
    #[comptime] channels: usize,
    #[comptime] taps: usize,
) {
    let at = ABSOLUTE_POS;
    if at < dy.len() {
        let sum = sum(projected, weight, bias, state, at / channels, at % channels, len, stride, start, channels, taps);
        d_sum[at] = dy[at] * silu_slope(sum);
    }
}

/// A unit an input, those of the state too.
#[cube(launch)]
fn input_gradient(
    weight: &[f32],
    d_sum: &[f32],
    d_next: &[f32],
    d_projected: &mut [f32],
    d_state: &mut [f32],
    batch: usize,
    len: usize,
    stride: usize,
    start: usize,
    #[comptime] channels: usize,
    #[comptime] taps: usize,
) {
    let at = ABSOLUTE_POS;
    let before = comptime![taps - 1];
    let inputs = len + before;
    if at < batch * inputs * channels {
        let channel = at % channels;
        let position = at / channels % inputs;
        let sequence = at / channels / inputs;
        let mut gradient = 0.0f32;
        if position >= len {
            gradient += d_next[(sequence * before + position - len) * channels + channel];
        }
        #[unroll]
        for tap in 0..taps {
            // the input is tap `tap` of the sum at `position − tap`
            if position >= tap && position - tap < len {
                gradient +=
                    weight[channel * taps + tap] * d_sum[(sequence * len + position - tap) * channels + channel];
            }
        }
        if position < before {
            d_state[(sequence * before + position) * channels + channel] = gradient;
        } else {
            d_projected[(sequence * len + position - before) * stride + start + channel] = gradient;
        }
    }
}

/// A unit a channel of some positions of a sequence.
#[cube(launch)]
fn weight_gradient(
    projected: &[f32],
    state: &[f32],
    d_sum: &[f32],
    partial_weights: &mut [f32],
    partial_biases: &mut [f32],
    len: usize,
    stride: usize,
    start: usize,
    #[comptime] channels: usize,
    #[comptime] taps: usize,
    #[comptime] positions: usize,
) {
    let at = ABSOLUTE_POS;
    if at < partial_biases.len() {
        let channel = at % channels;
        let block = at / channels;
        let blocks = len.div_ceil(positions);
        let sequence = block / blocks;
        let first = block % blocks * positions;
        let mut of_bias = 0.0f32;
        let mut of_taps = Registers::new(taps);
        #[unroll]
        for tap in 0..taps {
            of_taps[tap] = 0.0;
        }
        for position in first..(first + positions).min(len) {
            let gradient = d_sum[(sequence * len + position) * channels + channel];
            of_bias += gradient;
            #[unroll]
            for tap in 0..taps {
                let x = input(projected, state, sequence, position + tap, channel, len, stride, start, channels, taps);
                of_taps[tap] += gradient * x;
            }
        }
        partial_biases[at] = of_bias;
        #[unroll]
        for tap in 0..taps {
            partial_weights[(block * channels + channel) * taps + tap] = of_taps[tap];
        }
    }
}
