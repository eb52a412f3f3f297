//! Causal depthwise convolution and SiLU over a range of the columns of a wide matrix.
//!
//! ```text
//! state ┐
//! x ────┴→ Σ_j w_j · x_{t−(k−1)+j} + bias → silu → y;   the last k − 1 inputs → next state
//! ```
//!
//! A task is a block of positions of one sequence. It first copies the rows that its taps see side by side, then goes
//! down the block by registers of channels with the weights of the taps in registers. Backward computes the sums again,
//! of its block and of the k − 1 positions after it, whose gradients reach back into the block.

mod rows;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use rows::{Backward, Sequence, backward_memory, conv_backward_rows, conv_backward_state, conv_rows, with_kernel};

use crate::{
    columns::Columns,
    scratch,
    stored::Stored,
    sums::{ROWS, over_tasks},
};

/// What does not change from call to call.
#[derive(Clone, Copy, Debug)]
pub struct CausalConv {
    /// Positions a sequence (l); the rows of a matrix are whole sequences one after the other.
    pub len: usize,
    /// Taps a channel (k).
    pub taps: usize,
    /// Where the inputs lie in a row of the matrix that holds them; the width is the number of channels (ch).
    pub x: Columns,
    /// Where their gradient goes in a row of its matrix.
    pub dx: Columns,
}

impl CausalConv {
    /// Rows of the state: inputs that the next position still sees.
    fn carried(&self) -> usize {
        self.taps - 1
    }

    /// The number of sequences of `x`.
    ///
    /// # Panics
    /// If the slices do not fit.
    #[track_caller]
    fn batch(&self, x: Stored<'_>, w: &[f32], bias: &[f32], states: [Option<&[f32]>; 2], y: &[f32]) -> usize {
        let channels = self.x.width;
        assert!(self.len > 0 && self.taps > 0 && channels > 0, "an empty convolution: {self:?}");
        let batch = y.len() / (self.len * channels);
        assert_eq!(y.len(), batch * self.len * channels, "sequences of {} · {channels}", self.len);
        self.x.assert_rows(x.len(), batch * self.len, "x");
        assert_eq!([w.len(), bias.len()], [channels * self.taps, channels], "taps and bias");
        for state in states.into_iter().flatten() {
            assert_eq!(state.len(), batch * self.carried() * channels, "state");
        }
        batch
    }
}

/// `y_t = silu(bias + Σ_j w_j·x_{t−(k−1)+j})`; before the first position `x` is `state`, or zero without one. `next`
/// gets the last k − 1 inputs.
///
/// # Shapes
/// `x`: [b·l, stride]; `w`: [ch, k]; `bias`: `[ch]`; `state`, `next`: [b, k−1, ch]; `y`: [b·l, ch]
///
/// # Panics
/// If the slices do not fit.
pub fn causal_conv_silu(
    op: &CausalConv,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    state: Option<&[f32]>,
    y: &mut [f32],
    next: Option<&mut [f32]>,
) {
    let x = x.into();
    op.batch(x, w, bias, [state, next.as_deref()], y);
    let channels = op.x.width;
    with_kernel(op, w, bias, |kernel| {
        y.par_chunks_mut(op.len * channels).enumerate().for_each(|(b, y)| {
            let sequence = Sequence::new(op, x, state, b);
            let blocks = y.par_chunks_mut(ROWS * channels).enumerate();
            blocks.for_each(|(block, y)| {
                scratch::with(y.len() + op.carried() * channels, |seen| {
                    conv_rows(op, kernel, sequence, block * ROWS, y, seen);
                });
            });
        });
        if let Some(next) = next.filter(|_| op.carried() > 0) {
            for (b, next) in next.chunks_exact_mut(op.carried() * channels).enumerate() {
                Sequence::new(op, x, state, b).gather(op, op.len, next);
            }
        }
    });
}

/// Gradients of [`causal_conv_silu`] for the gradients `dy` of its output and `d_next` of its next state.
///
/// # Shapes
/// As those of [`causal_conv_silu`]; `d_x`: [b·l, stride of dx], of which the columns of dx alone are written
///
/// # Panics
/// If the slices do not fit.
#[expect(clippy::too_many_arguments, reason = "a kernel takes its slices and its sizes")]
pub fn causal_conv_silu_backward(
    op: &CausalConv,
    x: Stored<'_>,
    w: &[f32],
    bias: &[f32],
    state: Option<&[f32]>,
    dy: &[f32],
    d_next: Option<&[f32]>,
    gradients: ConvGradients<'_>,
) {
    let ConvGradients { d_x, dw, d_bias, d_state } = gradients;
    let batch = op.batch(x, w, bias, [state, d_next], dy);
    let channels = op.x.width;
    op.dx.assert_rows(d_x.len(), batch * op.len, "dx");
    assert_eq!([op.dx.width, dw.len(), d_bias.len()], [channels, w.len(), channels], "gradients");
    let blocks = op.len.div_ceil(ROWS);
    let width = (op.taps + 1) * channels;
    let (rows, carried) = (op.len * channels, op.carried() * channels);
    with_kernel(op, w, bias, |kernel| {
        let backward = |b: usize| Backward {
            kernel,
            sequence: Sequence::new(op, x, state, b),
            dy: &dy[b * rows..][..rows],
            d_next: d_next.map(|next| &next[b * carried..][..carried]),
        };
        scratch::with(width, |by_tap| {
            over_tasks(batch * blocks, by_tap, |partials| {
                let sequences = d_x.par_chunks_mut(op.len * op.dx.stride).zip(partials.par_chunks_mut(blocks * width));
                sequences.enumerate().for_each(|(b, (d_x, partials))| {
                    let back = backward(b);
                    let tasks = d_x.par_chunks_mut(ROWS * op.dx.stride).zip(partials.par_chunks_mut(width));
                    tasks.enumerate().for_each(|(block, (d_x, by_tap))| {
                        scratch::with(backward_memory(op, d_x.len() / op.dx.stride), |memory| {
                            conv_backward_rows(op, &back, block * ROWS, d_x, by_tap, memory);
                        });
                    });
                });
            });
            let (d_taps, d_bias_sum) = by_tap.split_at(op.taps * channels);
            d_bias.copy_from_slice(d_bias_sum);
            for (c, dw) in dw.chunks_exact_mut(op.taps).enumerate() {
                for (tap, dw) in dw.iter_mut().enumerate() {
                    *dw = d_taps[tap * channels + c];
                }
            }
        });
        if let Some(d_state) = d_state.filter(|_| op.carried() > 0) {
            assert_eq!(d_state.len(), batch * op.carried() * channels, "gradient of the state");
            for (b, d_state) in d_state.chunks_exact_mut(op.carried() * channels).enumerate() {
                scratch::with(backward_memory(op, 0), |memory| {
                    conv_backward_state(op, &backward(b), d_state, memory);
                });
            }
        }
    });
}

/// Where [`causal_conv_silu_backward`] stores its results.
#[derive(Debug)]
pub struct ConvGradients<'a> {
    /// Of the inputs [b·l, stride of dx].
    pub d_x: &'a mut [f32],
    /// Of the taps [ch, k].
    pub dw: &'a mut [f32],
    /// Of the bias `[ch]`.
    pub d_bias: &'a mut [f32],
    /// Of the state [b, k−1, ch], where it is wanted.
    pub d_state: Option<&'a mut [f32]>,
}
