//! The residual addition.

use divan::Bencher;

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<2>; 1] = [Shape([("t", 4096), ("d", 128)])];

#[divan::bench(args = SHAPES)]
fn add_scaled(bencher: Bencher<'_, '_>, shape: &Shape<2>) {
    let [t, d] = shape.sizes();
    let (x, branch, mut out) = (uniform(t * d, -1.0, 1.0, 1), uniform(t * d, -1.0, 1.0, 2), vec![0.0; t * d]);
    let work = Work { floats: 3 * t * d, flops: 2 * t * d };
    bench(bencher, work, || itera_kernels::residual::add_scaled(&x, &branch, 0.5, &mut out));
}
