//! The update of all parameters.

use divan::Bencher;
use itera_kernels::adamw::{self, AdamW, Parameter};

use crate::support::{Shape, Work, bench, uniform};

/// All parameters, and those of one matrix.
const SHAPES: [Shape<1>; 2] = [Shape([("n", 1_887_880)]), Shape([("n", 584 * 128)])];

#[divan::bench(args = SHAPES)]
fn adamw_step(bencher: Bencher<'_, '_>, shape: &Shape<1>) {
    let [n] = shape.sizes();
    let hyper = AdamW { lr: 2e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let (mut values, grad) = (uniform(n, -1.0, 1.0, 1), uniform(n, -1.0, 1.0, 2));
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    let mut step = 0;
    bench(bencher, Work { floats: 7 * n, flops: 14 * n }, || {
        step += 1;
        let parameter = Parameter { values: &mut values, grad: &grad, m: &mut m, v: &mut v, decays: true };
        adamw::adamw_step(vec![parameter], step, 0.7, &hyper);
    });
}
