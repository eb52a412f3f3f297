//! The global norm of the gradient.

use divan::Bencher;

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<1>; 2] = [Shape([("n", 1_887_880)]), Shape([("n", 584 * 128)])];

#[divan::bench(args = SHAPES)]
fn sum_of_squares(bencher: Bencher<'_, '_>, shape: &Shape<1>) {
    let [n] = shape.sizes();
    let x = uniform(n, -1.0, 1.0, 1);
    bench(bencher, Work { floats: n, flops: 2 * n }, || itera_kernels::norm::sum_of_squares(&x));
}
