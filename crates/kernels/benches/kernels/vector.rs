//! The factor of a branch, on the weight that ends it; the gradient of a micro-batch, onto that of those before.

use divan::Bencher;

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<2>; 1] = [Shape([("d", 128), ("i", 256)])];

#[divan::bench(args = SHAPES)]
fn scale(bencher: Bencher<'_, '_>, shape: &Shape<2>) {
    let [d, i] = shape.sizes();
    let (w, mut out) = (uniform(d * i, -1.0, 1.0, 1), vec![0.0; d * i]);
    bench(bencher, Work { floats: 2 * d * i, flops: d * i }, || itera_kernels::vector::scale(&w, 0.5, &mut out));
}

#[divan::bench(args = SHAPES)]
fn add(bencher: Bencher<'_, '_>, shape: &Shape<2>) {
    let [d, i] = shape.sizes();
    let (x, mut sum) = (uniform(d * i, -1.0, 1.0, 1), vec![0.0; d * i]);
    bench(bencher, Work { floats: 3 * d * i, flops: d * i }, || itera_kernels::vector::add(&x, &mut sum));
}
