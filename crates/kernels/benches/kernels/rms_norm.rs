//! RMSNorm, and backward.

use divan::Bencher;

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<2>; 2] = [Shape([("t", 4096), ("d", 128)]), Shape([("t", 4096), ("d", 256)])];
const EPS: f32 = 1e-5;

#[divan::bench(args = SHAPES)]
fn rms_norm(bencher: Bencher<'_, '_>, shape: &Shape<2>) {
    let [t, d] = shape.sizes();
    let (x, w, mut y) = (uniform(t * d, -1.0, 1.0, 1), uniform(d, -1.0, 1.0, 2), vec![0.0; t * d]);
    let work = Work { floats: 2 * t * d, flops: 4 * t * d };
    bench(bencher, work, || itera_kernels::rms_norm::rms_norm(&x, &w, EPS, &mut y));
}

#[divan::bench(args = SHAPES)]
fn rms_norm_backward(bencher: Bencher<'_, '_>, shape: &Shape<2>) {
    let [t, d] = shape.sizes();
    let (x, dy) = (uniform(t * d, -1.0, 1.0, 1), uniform(t * d, -1.0, 1.0, 2));
    let (w, mut dx, mut dw) = (uniform(d, -1.0, 1.0, 3), vec![0.0; t * d], vec![0.0; d]);
    bench(bencher, Work { floats: 3 * t * d, flops: 12 * t * d }, || {
        itera_kernels::rms_norm::rms_norm_backward(x[..].into(), &w, &dy, EPS, &mut dx, &mut dw);
    });
}
