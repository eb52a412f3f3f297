//! head_distillation

use burn::tensor::{Device, Tensor};
use itera_ops::{DistillationShape, head_distillation};
use itera_testkit::{F32_REORDERED, uniform};

use crate::case::Case;

/// Tokens, d_model, the teacher's, vocabulary.
const SHAPES: [[usize; 4]; 5] = [[1, 1, 2, 1], [3, 7, 4, 5], [64, 33, 64, 258], [65, 16, 16, 1000], [31, 64, 8, 4099]];

#[test]
fn divergence_and_its_gradients_are_those_of_the_composite() {
    for [t, d, d_teacher, v] in SHAPES {
        for temperature in [1.0, 2.0] {
            let teacher = |device: &Device| {
                let tensor = |rows, seed| {
                    let values = uniform(rows * d_teacher, -1.0, 1.0, seed);
                    Tensor::<1>::from_floats(values.as_slice(), device).reshape([rows, d_teacher])
                };
                (tensor(t, 77), tensor(v, 78))
            };
            let shape = DistillationShape { student_scaling: 1.5, teacher_scaling: 0.8, temperature };
            Case::new(format!("{t} tokens, d {d} and {d_teacher}, v {v}, T {temperature}"), F32_REORDERED)
                .uniform(t * d, -1.0, 1.0)
                .uniform(v * d, -1.0, 1.0)
                .check(|inputs| {
                    let [hidden, head] = inputs else { unreachable!() };
                    let student = (hidden.clone().reshape([t, d]), head.clone().reshape([v, d]));
                    vec![head_distillation(student, teacher(&hidden.device()), shape).into()]
                });
        }
    }
}
