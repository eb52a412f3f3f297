//! Rows of the embedding, and backward.

use divan::Bencher;

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<3>; 1] = [Shape([("t", 4096), ("v", 4096), ("d", 128)])];

/// Ids of which the low ones are common, as in text.
fn ids(t: usize, v: usize) -> Vec<i32> {
    uniform(t, 0.0, 1.0, 9).iter().map(|x| (x.powi(3) * v as f32) as i32).collect()
}

#[divan::bench(args = SHAPES)]
fn embedding(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    let [t, v, d] = shape.sizes();
    let (ids, table, mut y) = (ids(t, v), uniform(v * d, -1.0, 1.0, 1), vec![0.0; t * d]);
    let work = Work { floats: 2 * t * d, flops: t * d };
    bench(bencher, work, || itera_kernels::embedding::embedding(&ids, &table, d, 1.0, &mut y));
}

#[divan::bench(args = SHAPES)]
fn embedding_backward(bencher: Bencher<'_, '_>, shape: &Shape<3>) {
    let [t, v, d] = shape.sizes();
    let (ids, dy, mut d_table) = (ids(t, v), uniform(t * d, -1e-3, 1e-3, 1), vec![0.0; v * d]);
    bench(bencher, Work { floats: t * d + v * d, flops: 2 * t * d }, || {
        itera_kernels::embedding::embedding_backward(&ids, &dy, d, 1.0, &mut d_table);
    });
}
