//! head_distillation

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use itera_ops::{DistillationScalings, head_distillation};
use itera_testkit::{F32_REORDERED, uniform};

use crate::case::Case;

/// Tokens, d_model, the teacher's, vocabulary, the teacher's.
const SHAPES: [[usize; 5]; 6] = [
    [1, 1, 2, 1, 1],
    [3, 7, 4, 5, 5],
    [64, 33, 64, 258, 258],
    [65, 16, 16, 300, 1000],
    [65, 16, 16, 1000, 1000],
    [31, 64, 8, 4099, 4099],
];

#[test]
fn divergence_and_its_gradients_are_those_of_the_composite() {
    for [t, d, d_teacher, v, v_teacher] in SHAPES {
        let pool: Option<Arc<[u32]>> = (v_teacher > v).then(|| (0..v_teacher).map(|j| (j % v) as u32).collect());
        for temperature in [1.0, 2.0] {
            let teacher = |device: &Device| {
                let tensor = |rows, seed| {
                    let values = uniform(rows * d_teacher, -1.0, 1.0, seed);
                    Tensor::<1>::from_floats(values.as_slice(), device).reshape([rows, d_teacher])
                };
                (tensor(t, 77), tensor(v_teacher, 78))
            };
            let scalings = DistillationScalings { student: 1.5, teacher: 0.8, temperature };
            let name = format!("{t} tokens, d {d} and {d_teacher}, v {v} and {v_teacher}, T {temperature}");
            Case::new(name, F32_REORDERED).uniform(t * d, -1.0, 1.0).uniform(v * d, -1.0, 1.0).check(|inputs| {
                let [hidden, head] = inputs else { unreachable!() };
                let student = (hidden.clone().reshape([t, d]), head.clone().reshape([v, d]));
                vec![head_distillation(student, teacher(&hidden.device()), pool.as_ref(), scalings).into()]
            });
        }
    }
}
