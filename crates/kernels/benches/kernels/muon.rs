//! The update of hidden matrices.

use divan::Bencher;
use itera_kernels::{
    gemm::Operands,
    muon::{self, Muon, Parameter},
};

use crate::support::{Shape, Work, bench, uniform};

/// Gate, up and down of five experts; one projection of 256 to 128.
const SHAPES: [Shape<3>; 2] =
    [Shape([("matrices", 15), ("rows", 128), ("cols", 128)]), Shape([("matrices", 1), ("rows", 128), ("cols", 256)])];
/// As many steps towards the polar factor as training takes.
const POLAR: [[f64; 3]; 5] = [[1.875, -1.25, 0.375]; 5];

#[divan::bench(args = SHAPES)]
fn muon_step(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    step(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn muon_step_bf16(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    step(bencher, shape, Operands::Bf16);
}

fn step(bencher: Bencher<'_, '_>, shape: &Shape<3>, operands: Operands) {
    let [matrices, rows, cols] = shape.sizes();
    let n = matrices * rows * cols;
    let hyper = Muon { lr: 2e-3, momentum: 0.95, weight_decay: 0.1, update_rms: 0.2, polar: &POLAR, operands };
    let (mut values, grad, mut momentum) = (uniform(n, -1.0, 1.0, 1), uniform(n, -1.0, 1.0, 2), vec![0.0; n]);
    let matrices = vec![rows; matrices];
    let small = rows.min(cols);
    // X·Xᵀ, its square, and the polynomial times X
    let flops = POLAR.len() * (4 * n * small + 2 * matrices.len() * small.pow(3));
    bench(bencher, Work { floats: 5 * n, flops }, || {
        let parameter = Parameter { values: &mut values, grad: &grad, momentum: &mut momentum, matrices: &matrices };
        muon::muon_step(vec![parameter], 0.7, &hyper);
    });
}
