//! [state | x] → depthwise causal taps → + bias → silu, and the last taps − 1 inputs as the new state

use burn::tensor::{Tensor, activation::silu};

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
