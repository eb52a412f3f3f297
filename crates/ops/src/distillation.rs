//! student and teacher: hidden → head → softmax at a temperature → their divergence

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::composite;

/// How two models make logits, and at which temperature they are compared.
#[derive(Clone, Copy, Debug)]
pub struct DistillationShape {
    /// Divisor of the student's logits.
    pub student_scaling: f64,
    /// Divisor of the teacher's.
    pub teacher_scaling: f64,
    /// What both are divided by besides.
    pub temperature: f64,
}

/// Mean over tokens of `T²·KL(teacher ‖ student)` of the distributions under the two heads (arXiv 1503.02531 §2), in
/// nats. The teacher gets no gradient. `pool` is for a teacher of another vocabulary: for each of its entries the one of
/// the student's that begins it, whose probability counts its own.
///
/// # Shapes
/// `student`: hidden [t, d] and head [v, d]; `teacher`: likewise, of any width; `pool`: the teacher's v → `[1]`
pub fn head_distillation(
    student: (Tensor<2>, Tensor<2>),
    teacher: (Tensor<2>, Tensor<2>),
    pool: Option<&Arc<[u32]>>,
    shape: DistillationShape,
) -> Tensor<1> {
    let teacher = (teacher.0.detach(), teacher.1.detach());
    #[cfg(feature = "flex")]
    if crate::function::fused(&student.0) {
        let products = crate::precision::precisions().products;
        let inputs = [student.0, student.1, teacher.0.inner(), teacher.1.inner()].map(Tensor::into_dispatch);
        let [loss] = crate::function::apply(flex::Distill { shape, pool: pool.cloned(), products }, inputs);
        return Tensor::from_dispatch(loss);
    }
    composite::head_distillation(student, teacher, pool.map(|pool| &**pool), shape)
}

#[cfg(feature = "flex")]
mod flex {
    use std::sync::Arc;

    use itera_kernels::distillation::{Distillation, Gradients, Projection, distillation};

    use super::DistillationShape;
    use crate::{
        array::Array,
        buffers,
        function::{Function, only},
        precision::Precision,
    };

    pub(super) struct Distill {
        pub(super) shape: DistillationShape,
        pub(super) pool: Option<Arc<[u32]>>,
        pub(super) products: Precision,
    }

    impl Function<4, 1> for Distill {
        /// Gradients of hidden and head, made along with the loss.
        type Saved = [Array; 2];

        fn forward(&self, inputs: [Array; 4], wanted: [bool; 4]) -> ([Array; 1], Option<Self::Saved>) {
            let [hidden, head, teacher_hidden, teacher_head] = &inputs;
            let DistillationShape { student_scaling, teacher_scaling, temperature } = self.shape;
            let projection =
                |hidden, head, d_model, scaling: f64| Projection { hidden, head, d_model, scaling: scaling as f32 };
            let input = Distillation {
                student: projection(hidden, head, hidden.width(), student_scaling),
                teacher: projection(teacher_hidden, teacher_head, teacher_hidden.width(), teacher_scaling),
                pool: self.pool.as_deref(),
                temperature: temperature as f32,
                precision: self.products.into(),
            };
            let tokens = hidden.len() / hidden.width();
            let mut losses = buffers::take(tokens);
            let saved = wanted.contains(&true).then(|| {
                let [mut d_hidden, mut d_head] = [hidden.len(), head.len()].map(buffers::take);
                let upstream = 1.0 / tokens as f32;
                let gradients = Gradients { upstream, hidden: &mut d_hidden, head: &mut d_head };
                distillation(&input, &mut losses, Some(gradients));
                [d_hidden, d_head].map(Array::from)
            });
            if saved.is_none() {
                distillation(&input, &mut losses, None);
            }
            let mean = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / tokens as f64;
            buffers::give(losses);
            ([vec![mean as f32].into()], saved)
        }

        fn backward(&self, saved: Self::Saved, grads: [Option<Array>; 1], _: [bool; 4]) -> [Option<Array>; 4] {
            let upstream = only(grads)[0];
            let [hidden, head] = saved.map(|gradient| Some(gradient.scaled(upstream)));
            [hidden, head, None, None]
        }
    }
}
