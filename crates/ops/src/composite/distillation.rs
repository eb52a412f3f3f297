//! student and teacher: hidden → head → log-softmax at a temperature → their divergence

use burn::tensor::{Tensor, activation::log_softmax};

use super::linear;
use crate::DistillationShape;

/// Composite of [`crate::head_distillation`].
///
/// # Shapes
/// `student`: hidden [t, d] and head [v, d]; `teacher`: likewise, of any width → `[1]`
pub fn head_distillation(
    student: (Tensor<2>, Tensor<2>),
    teacher: (Tensor<2>, Tensor<2>),
    shape: DistillationShape,
) -> Tensor<1> {
    let DistillationShape { student_scaling, teacher_scaling, temperature } = shape;
    let ln_p = log_softmax(linear(student.0, student.1).div_scalar(student_scaling * temperature), 1);
    let ln_q = log_softmax(linear(teacher.0, teacher.1).div_scalar(teacher_scaling * temperature), 1);
    let divergence = (ln_q.clone().exp() * (ln_q - ln_p)).sum_dim(1).squeeze_dim::<1>(1);
    divergence.mean().mul_scalar(temperature * temperature)
}
