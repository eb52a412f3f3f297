//! The SwiGLU MLP in one pass, and backward.

use divan::Bencher;
use itera_kernels::{
    gemm::Operands,
    mlp::{Join, Mlp, backward, forward},
    stored::StoredMut,
};

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<3>; 2] =
    [Shape([("t", 4096), ("d", 128), ("f", 128)]), Shape([("t", 4096), ("d", 128), ("f", 384)])];

/// Three products of t × d × f, and twice that backward.
fn products(t: usize, d: usize, f: usize) -> usize {
    3 * 2 * t * d * f
}

#[divan::bench(args = SHAPES)]
fn mlp(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    mlp_forward(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn mlp_bf16(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    mlp_forward(bencher, shape, Operands::Bf16);
}

fn mlp_forward(bencher: Bencher<'_, '_>, shape: &Shape<3>, operands: Operands) {
    let [t, d, f] = shape.sizes();
    let (u, residual) = (uniform(t * d, -1.0, 1.0, 1), uniform(t * d, -1.0, 1.0, 2));
    let (w_in, w_out) = (uniform(2 * f * d, -0.1, 0.1, 3), uniform(d * f, -0.1, 0.1, 4));
    let mlp = Mlp::new(&w_in, &w_out, d, f).with_operands(operands);
    let join = Join { residual: Some(&residual), multiplier: 0.5 };
    let (mut saved, mut out) = (vec![0.0; mlp.saved_len(t)], vec![0.0; t * d]);
    bench(bencher, Work { floats: 3 * t * d + 2 * t * f + 3 * d * f, flops: products(t, d, f) }, || {
        forward(&u, &mlp, join, Some(StoredMut::F32(&mut saved)), &mut out);
    });
}

#[divan::bench(args = SHAPES)]
fn mlp_backward(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    gradients(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn mlp_backward_bf16(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    gradients(bencher, shape, Operands::Bf16);
}

fn gradients(bencher: Bencher<'_, '_>, shape: &Shape<3>, operands: Operands) {
    let [t, d, f] = shape.sizes();
    let (u, d_out, saved) =
        (uniform(t * d, -1.0, 1.0, 1), uniform(t * d, -1.0, 1.0, 2), uniform(2 * t * f, -1.0, 1.0, 5));
    let (w_in, w_out) = (uniform(2 * f * d, -0.1, 0.1, 3), uniform(d * f, -0.1, 0.1, 4));
    let mlp = Mlp::new(&w_in, &w_out, d, f).with_operands(operands);
    let (mut d_u, mut d_w_in, mut d_w_out) = (vec![0.0; t * d], w_in.clone(), w_out.clone());
    bench(bencher, Work { floats: 3 * t * d + 2 * t * f + 6 * d * f, flops: 2 * products(t, d, f) }, || {
        backward(u[..].into(), &mlp, 0.5, Some(saved[..].into()), &d_out, &mut d_u, &mut d_w_in, &mut d_w_out);
    });
}
