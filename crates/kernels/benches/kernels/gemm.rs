//! Products of a layer: forward, for the input, for the weight; of the numbers and of numbers rounded to bfloat16.

use divan::Bencher;
use itera_kernels::gemm::{Matrix, MatrixMut, Operands, Write, par_gemm};

use crate::support::{Shape, Work, bench, uniform};

/// A mixer's in_proj and out_proj, an MLP's w_in.
const SHAPES: [Shape<3>; 3] = [
    Shape([("t", 4096), ("in", 128), ("out", 648)]),
    Shape([("t", 4096), ("in", 256), ("out", 128)]),
    Shape([("t", 4096), ("in", 128), ("out", 768)]),
];

fn product(bencher: Bencher<'_, '_>, [m, k, n]: [usize; 3], transposed: [bool; 2], operands: Operands) {
    let (a, b) = (uniform(m * k, -1.0, 1.0, 1), uniform(k * n, -1.0, 1.0, 2));
    let mut c = vec![0.0; m * n];
    let a = if transposed[0] { Matrix::new(&a, k, m).t() } else { Matrix::new(&a, m, k) };
    let b = if transposed[1] { Matrix::new(&b, n, k).t() } else { Matrix::new(&b, k, n) };
    let b = b.with_operands(operands);
    bench(bencher, Work { floats: m * k + k * n + m * n, flops: 2 * m * k * n }, || {
        par_gemm(a, b, MatrixMut::new(&mut c, m, n), Write::Set);
    });
}

/// y = x·wᵀ
fn forward(bencher: Bencher<'_, '_>, shape: &Shape<3>, operands: Operands) {
    let [t, d_in, out] = shape.sizes();
    product(bencher, [t, d_in, out], [false, true], operands);
}

/// dx = dy·w
fn input_gradient(bencher: Bencher<'_, '_>, shape: &Shape<3>, operands: Operands) {
    let [t, d_in, out] = shape.sizes();
    product(bencher, [t, out, d_in], [false, false], operands);
}

/// dw = dyᵀ·x
fn weight_gradient(bencher: Bencher<'_, '_>, shape: &Shape<3>, operands: Operands) {
    let [t, d_in, out] = shape.sizes();
    product(bencher, [out, t, d_in], [true, false], operands);
}

#[divan::bench(args = SHAPES)]
fn linear(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    forward(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn linear_bf16(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    forward(bencher, shape, Operands::Bf16);
}

#[divan::bench(args = SHAPES)]
fn linear_input_gradient(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    input_gradient(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn linear_input_gradient_bf16(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    input_gradient(bencher, shape, Operands::Bf16);
}

#[divan::bench(args = SHAPES)]
fn linear_weight_gradient(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    weight_gradient(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn linear_weight_gradient_bf16(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    weight_gradient(bencher, shape, Operands::Bf16);
}
