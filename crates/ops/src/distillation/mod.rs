//! student and teacher: hidden → head → softmax at a temperature → their divergence

pub(crate) mod composite;
#[cfg(feature = "flex")]
mod flex;
mod types;

use std::sync::Arc;

use burn::tensor::{Tensor, assert_shape};

pub use types::DistillationScalings;

use crate::dispatch::dispatch;

/// How far a student's distributions are from a teacher's, in nats: the mean over tokens of `T²·KL(teacher ‖ student)`
/// under the two heads (arXiv 1503.02531 §2). The teacher gets no gradient.
///
/// `pool` is for a teacher of another vocabulary. It holds for each entry of the teacher's vocabulary the entry of the
/// student's that begins it, and the student's entry gets the sum of their probabilities.
///
/// # Shapes
/// `student`: hidden [t, d] and head [v, d]; `teacher`: hidden [t, d'] and head [v', d']; `pool`: v' ids below v → `[1]`.
/// Without a `pool`, v' is v.
///
/// # Panics
/// If the shapes do not fit.
pub fn head_distillation(
    student: (Tensor<2>, Tensor<2>),
    teacher: (Tensor<2>, Tensor<2>),
    pool: Option<&Arc<[u32]>>,
    scalings: DistillationScalings,
) -> Tensor<1> {
    let (hidden, head) = &student;
    let (teacher_hidden, teacher_head) = &teacher;
    let ([tokens, d], [_, teacher_d]) = (hidden.dims(), teacher_hidden.dims());
    let vocab = head.dims()[0];
    assert_shape!(head, [vocab, d]);
    assert_shape!(teacher_hidden, [tokens, _]);
    assert_shape!(teacher_head, [pool.map_or(vocab, |pool| pool.len()), teacher_d]);
    let teacher = (teacher.0.detach(), teacher.1.detach());
    dispatch!(flex: &student.0 => head_distillation(student, teacher, pool, scalings))
}
