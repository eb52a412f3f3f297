//! SwiGLU between two products, and backward.

use divan::Bencher;

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<2>; 1] = [Shape([("t", 4096), ("f", 128)])];

#[divan::bench(args = SHAPES)]
fn swiglu(bencher: Bencher<'_, '_>, shape: &Shape<2>) {
    let [t, f] = shape.sizes();
    let (gate_up, mut out) = (uniform(2 * t * f, -4.0, 4.0, 1), vec![0.0; t * f]);
    let work = Work { floats: 3 * t * f, flops: 4 * t * f };
    bench(bencher, work, || itera_kernels::swiglu::swiglu(&gate_up, f, &mut out));
}

#[divan::bench(args = SHAPES)]
fn swiglu_backward(bencher: Bencher<'_, '_>, shape: &Shape<2>) {
    let [t, f] = shape.sizes();
    let (gate_up, d_out) = (uniform(2 * t * f, -4.0, 4.0, 1), uniform(t * f, -1.0, 1.0, 2));
    let mut d_gate_up = vec![0.0; 2 * t * f];
    bench(bencher, Work { floats: 5 * t * f, flops: 10 * t * f }, || {
        itera_kernels::swiglu::swiglu_backward(&gate_up, &d_out, f, &mut d_gate_up);
    });
}
