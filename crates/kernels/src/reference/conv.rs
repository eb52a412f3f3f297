//! The causal convolution, an element at a time.

use super::{silu, silu_derivative};

/// Sizes of a causal convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Sequences (b).
    pub batch: usize,
    /// Positions a sequence (l).
    pub len: usize,
    /// Channels (ch).
    pub channels: usize,
    /// Taps a channel (k).
    pub taps: usize,
}

impl ConvShape {
    /// The input that tap `tap` sees at position `l`: of `x`, or of `state` before the first position.
    fn seen(&self, x: &[f64], state: &[f64], [b, l, c, tap]: [usize; 4]) -> f64 {
        let carried = self.taps - 1;
        if l + tap < carried {
            state[(b * carried + l + tap) * self.channels + c]
        } else {
            x[(b * self.len + l + tap - carried) * self.channels + c]
        }
    }

    fn before_silu(&self, x: &[f64], w: &[f64], bias: &[f64], state: &[f64], [b, l, c]: [usize; 3]) -> f64 {
        (0..self.taps).map(|tap| w[c * self.taps + tap] * self.seen(x, state, [b, l, c, tap])).sum::<f64>() + bias[c]
    }

    fn positions(&self) -> impl Iterator<Item = [usize; 3]> {
        let Self { batch, len, channels, .. } = *self;
        (0..batch).flat_map(move |b| (0..len).flat_map(move |l| (0..channels).map(move |c| [b, l, c])))
    }
}

/// Twin of [`causal_conv_silu`](crate::conv::causal_conv_silu):
/// `y_t = silu(bias + Σ_j w_j·x_{t−(k−1)+j})`, and the last k − 1 inputs.
///
/// # Shapes
/// `x`: [b, l, ch], `w`: [ch, k], `bias`: `[ch]`, `state`: [b, k−1, ch] → ([b, l, ch], [b, k−1, ch])
pub fn causal_conv_silu(shape: ConvShape, x: &[f64], w: &[f64], bias: &[f64], state: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let y = shape.positions().map(|at| silu(shape.before_silu(x, w, bias, state, at))).collect();
    let after = ConvShape { len: shape.taps - 1, ..shape };
    let next = after.positions().map(|[b, s, c]| shape.seen(x, state, [b, shape.len, c, s])).collect();
    (y, next)
}

/// Gradients of [`causal_conv_silu`].
#[derive(Clone, Debug)]
pub struct ConvGradients {
    /// Of the input [b, l, ch].
    pub dx: Vec<f64>,
    /// Of the taps [ch, k].
    pub dw: Vec<f64>,
    /// Of the bias `[ch]`.
    pub d_bias: Vec<f64>,
    /// Of the state before [b, k−1, ch].
    pub d_state: Vec<f64>,
}

/// Twin of [`causal_conv_silu_backward`](crate::conv::causal_conv_silu_backward), for the gradients `dy` of the output
/// and `d_next` of the state after.
pub fn causal_conv_silu_backward(
    shape: ConvShape,
    x: &[f64],
    w: &[f64],
    bias: &[f64],
    state: &[f64],
    dy: &[f64],
    d_next: &[f64],
) -> ConvGradients {
    let ConvShape { batch, len, channels, taps } = shape;
    let carried = taps - 1;
    // position s of the padded input is s of the state, then s − (k − 1) of x
    let mut d_padded = vec![0.0; batch * (carried + len) * channels];
    let (mut dw, mut d_bias) = (vec![0.0; w.len()], vec![0.0; channels]);
    for ([b, l, c], dy) in shape.positions().zip(dy) {
        let d = dy * silu_derivative(shape.before_silu(x, w, bias, state, [b, l, c]));
        d_bias[c] += d;
        for tap in 0..taps {
            dw[c * taps + tap] += d * shape.seen(x, state, [b, l, c, tap]);
            d_padded[(b * (carried + len) + l + tap) * channels + c] += d * w[c * taps + tap];
        }
    }
    let mut gradients = ConvGradients { dx: Vec::new(), dw, d_bias, d_state: Vec::new() };
    for (b, d_padded) in d_padded.chunks_mut((carried + len) * channels).enumerate() {
        for (d, d_next) in d_padded[len * channels..].iter_mut().zip(&d_next[b * carried * channels..]) {
            *d += d_next;
        }
        gradients.d_state.extend(&d_padded[..carried * channels]);
        gradients.dx.extend(&d_padded[carried * channels..]);
    }
    gradients
}
