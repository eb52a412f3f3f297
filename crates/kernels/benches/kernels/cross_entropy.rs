//! Loss under the head's distribution, alone and with both gradients.

use divan::Bencher;
use itera_kernels::{
    cross_entropy::{Gradients, HeadCrossEntropy, Upstream},
    gemm::Operands,
};

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<3>; 2] =
    [Shape([("t", 4096), ("d", 128), ("v", 4096)]), Shape([("t", 1024), ("d", 128), ("v", 32000)])];

/// hidden, head, targets
fn inputs([t, d, v]: [usize; 3]) -> (Vec<f32>, Vec<f32>, Vec<i32>) {
    let targets = uniform(t, 0.0, v as f32, 3).iter().map(|target| *target as i32).collect();
    (uniform(t * d, -1.0, 1.0, 1), uniform(v * d, -0.5, 0.5, 2), targets)
}

#[divan::bench(args = SHAPES)]
fn cross_entropy(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    let [t, d, v] = shape.sizes();
    let (hidden, head, targets) = inputs([t, d, v]);
    let operands = Operands::F32;
    let input =
        HeadCrossEntropy { hidden: &hidden, head: &head, d_model: d, targets: &targets, scaling: 1.0, operands };
    let mut nats = vec![0.0; t];
    bench(bencher, Work { floats: (t + v) * d, flops: 2 * t * d * v }, || {
        itera_kernels::cross_entropy::forward(&input, &mut nats);
    });
}

#[divan::bench(args = SHAPES)]
fn cross_entropy_backward(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    backward(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn cross_entropy_backward_bf16(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    backward(bencher, shape, Operands::Bf16);
}

fn backward(bencher: Bencher<'_, '_>, shape: &Shape<3>, operands: Operands) {
    let [t, d, v] = shape.sizes();
    let (hidden, head, targets) = inputs([t, d, v]);
    let input =
        HeadCrossEntropy { hidden: &hidden, head: &head, d_model: d, targets: &targets, scaling: 1.0, operands };
    let (mut nats, mut d_hidden, mut d_head) = (vec![0.0; t], vec![0.0; t * d], vec![0.0; v * d]);
    bench(bencher, Work { floats: 2 * (t + v) * d, flops: 3 * 2 * t * d * v }, || {
        let gradients = Gradients { hidden: &mut d_hidden, head: &mut d_head };
        let upstream = Upstream::Same(1.0 / t as f32);
        itera_kernels::cross_entropy::forward_backward(&input, upstream, &mut nats, gradients);
    });
}
