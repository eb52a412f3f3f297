//! Gate and norm between scan and output projection, and backward.

use divan::Bencher;
use itera_kernels::{columns::Columns, gated_norm::GatedNorm};

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<3>; 1] = [Shape([("t", 4096), ("i", 256), ("g", 1)])];

/// Columns of the input projection beside z.
const BESIDE: usize = 328;

fn op(i: usize, n_groups: usize) -> GatedNorm {
    let z = Columns { stride: i + BESIDE, start: 0, width: i };
    GatedNorm { z, dz: z, n_groups, eps: 1e-5 }
}

#[divan::bench(args = SHAPES)]
fn gated_norm(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    let [t, i, g] = shape.sizes();
    let op = op(i, g);
    let (u, projected) = (uniform(t * i, -1.0, 1.0, 1), uniform(t * op.z.stride, -4.0, 4.0, 2));
    let (w, mut y) = (uniform(i, -1.0, 1.0, 3), vec![0.0; t * i]);
    bench(bencher, Work { floats: 3 * t * i, flops: 6 * t * i }, || {
        itera_kernels::gated_norm::gated_norm(&op, &u, &projected, &w, &mut y);
    });
}

#[divan::bench(args = SHAPES)]
fn gated_norm_backward(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    let [t, i, g] = shape.sizes();
    let op = op(i, g);
    let (u, projected) = (uniform(t * i, -1.0, 1.0, 1), uniform(t * op.z.stride, -4.0, 4.0, 2));
    let (w, dy) = (uniform(i, -1.0, 1.0, 3), uniform(t * i, -1.0, 1.0, 4));
    let (mut du, mut d_projected, mut dw) = (vec![0.0; t * i], vec![0.0; t * op.dz.stride], vec![0.0; i]);
    bench(bencher, Work { floats: 5 * t * i, flops: 20 * t * i }, || {
        itera_kernels::gated_norm::gated_norm_backward(
            &op,
            u[..].into(),
            projected[..].into(),
            &w,
            &dy,
            &mut du,
            &mut d_projected,
            &mut dw,
        );
    });
}
