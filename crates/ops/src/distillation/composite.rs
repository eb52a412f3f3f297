//! student and teacher: hidden → head → log-softmax at a temperature → their divergence

use std::sync::Arc;

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, activation::log_softmax};

use super::types::DistillationScalings;
use crate::{linear::composite::linear, mean};

/// Composite of [`crate::head_distillation`].
///
/// # Shapes
/// `student`: hidden [t, d] and head [v, d]; `teacher`: hidden [t, d'] and head [v', d'] → `[1]`
pub fn head_distillation(
    student: (Tensor<2>, Tensor<2>),
    teacher: (Tensor<2>, Tensor<2>),
    pool: Option<&Arc<[u32]>>,
    scalings: DistillationScalings,
) -> Tensor<1> {
    let DistillationScalings { temperature, .. } = scalings;
    let ln_p = log_softmax(linear(student.0, student.1).div_scalar(scalings.student * temperature), 1);
    let mut z = linear(teacher.0, teacher.1).div_scalar(scalings.teacher);
    if let Some(begins) = pool {
        let [tokens, vocab] = ln_p.dims();
        let begins = TensorData::new(begins.iter().map(|entry| *entry as i32).collect(), [1, begins.len()]);
        let entries: Tensor<2, Int> = Tensor::from_data(begins, &z.device());
        let q = log_softmax(z, 1).exp();
        let pooled = Tensor::zeros([tokens, vocab], &q.device());
        z = pooled
            .scatter(1, entries.repeat_dim(0, tokens), q, IndexingUpdateOp::Add)
            .clamp_min(f32::MIN_POSITIVE)
            .log();
    }
    let ln_q = log_softmax(z.div_scalar(temperature), 1);
    let divergence = (ln_q.clone().exp() * (ln_q - ln_p)).sum_dim(1).squeeze_dim::<1>(1);
    mean(divergence).mul_scalar(temperature * temperature)
}
