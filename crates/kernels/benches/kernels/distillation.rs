//! Divergence from a teacher, with the student's gradients.

use divan::Bencher;
use itera_kernels::{
    distillation::{Distillation, Gradients, Projection},
    gemm::Operands,
};

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<5>; 3] = [
    Shape([("t", 4096), ("d", 128), ("teacher", 128), ("v", 4096), ("teacher's v", 4096)]),
    Shape([("t", 4096), ("d", 64), ("teacher", 128), ("v", 4096), ("teacher's v", 4096)]),
    Shape([("t", 4096), ("d", 64), ("teacher", 128), ("v", 512), ("teacher's v", 4096)]),
];

#[divan::bench(args = SHAPES)]
fn distillation_backward(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    backward(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn distillation_backward_bf16(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    backward(bencher, shape, Operands::Bf16);
}

fn backward(bencher: Bencher<'_, '_>, shape: &Shape<5>, operands: Operands) {
    let [t, d, d_teacher, v, v_teacher] = shape.sizes();
    let of = |d: usize, v: usize, seed| (uniform(t * d, -1.0, 1.0, seed), uniform(v * d, -0.5, 0.5, seed + 1));
    let (student, teacher) = (of(d, v, 1), of(d_teacher, v_teacher, 3));
    let pool: Option<Vec<u32>> = (v_teacher > v).then(|| (0..v_teacher).map(|j| (j % v) as u32).collect());
    let projection = |(hidden, head), d_model| Projection { hidden, head, d_model, scaling: 1.0 };
    let input = Distillation {
        student: projection((&student.0[..], &student.1[..]), d),
        teacher: projection((&teacher.0[..], &teacher.1[..]), d_teacher),
        pool: pool.as_deref(),
        temperature: 2.0,
        operands,
    };
    let (mut losses, mut d_hidden, mut d_head) = (vec![0.0; t], vec![0.0; t * d], vec![0.0; v * d]);
    let work = Work {
        floats: 2 * (t + v) * d + (t + v_teacher) * d_teacher,
        flops: 2 * t * (v * 3 * d + v_teacher * d_teacher),
    };
    bench(bencher, work, || {
        let gradients = Gradients { upstream: 1.0 / t as f32, hidden: &mut d_hidden, head: &mut d_head };
        itera_kernels::distillation::distillation(&input, &mut losses, Some(gradients));
    });
}
