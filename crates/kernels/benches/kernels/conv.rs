//! Causal convolution and SiLU over the x, B and C columns of the input projection, and backward.

use divan::Bencher;
use itera_kernels::{
    columns::Columns,
    conv::{CausalConv, ConvGradients, causal_conv_silu_backward},
};

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<4>; 2] =
    [Shape([("b", 16), ("l", 256), ("ch", 320), ("k", 4)]), Shape([("b", 1), ("l", 4096), ("ch", 320), ("k", 4)])];

/// Columns of the input projection before x.
const BEFORE: usize = 256;
/// All of them but the channels.
const BESIDE: usize = 264;

fn op(len: usize, channels: usize, taps: usize) -> CausalConv {
    let x = Columns { stride: channels + BESIDE, start: BEFORE, width: channels };
    CausalConv { len, taps, x, dx: x }
}

#[divan::bench(args = SHAPES)]
fn causal_conv_silu(bencher: Bencher<'_, '_>, shape: &Shape<4>) {
    let [b, l, ch, k] = shape.sizes();
    let op = op(l, ch, k);
    let (x, w, bias) =
        (uniform(b * l * op.x.stride, -1.0, 1.0, 1), uniform(ch * k, -1.0, 1.0, 2), uniform(ch, -1.0, 1.0, 3));
    let mut y = vec![0.0; b * l * ch];
    bench(bencher, Work { floats: 2 * b * l * ch, flops: (2 * k + 1) * b * l * ch }, || {
        itera_kernels::conv::causal_conv_silu(&op, &x, &w, &bias, None, &mut y, None);
    });
}

#[divan::bench(args = SHAPES)]
fn conv_backward(bencher: Bencher<'_, '_>, shape: &Shape<4>) {
    let [b, l, ch, k] = shape.sizes();
    let op = op(l, ch, k);
    let (x, w, bias) =
        (uniform(b * l * op.x.stride, -1.0, 1.0, 1), uniform(ch * k, -1.0, 1.0, 2), uniform(ch, -1.0, 1.0, 3));
    let dy = uniform(b * l * ch, -1.0, 1.0, 4);
    let (mut d_x, mut dw, mut d_bias) = (vec![0.0; b * l * op.dx.stride], vec![0.0; ch * k], vec![0.0; ch]);
    bench(bencher, Work { floats: 3 * b * l * ch, flops: (6 * k + 5) * b * l * ch }, || {
        let gradients = ConvGradients { d_x: &mut d_x, dw: &mut dw, d_bias: &mut d_bias, d_state: None };
        causal_conv_silu_backward(&op, x[..].into(), &w, &bias, None, &dy, None, gradients);
    });
}
