//! The fused form, over `itera_kernels::distillation`: the gradients are made along with the loss.

use std::sync::Arc;

use burn::{backend::Flex, tensor::Tensor};
use itera_kernels::{
    distillation::{Distillation, Gradients, Projection, distillation},
    gemm::Operands,
};

use super::types::DistillationScalings;
use crate::{
    flex::{array::Array, buffers},
    function::{Function, apply, only},
    precision::products,
};

pub(super) fn head_distillation(
    student: (Tensor<2>, Tensor<2>),
    teacher: (Tensor<2>, Tensor<2>),
    pool: Option<&Arc<[u32]>>,
    scalings: DistillationScalings,
) -> Tensor<1> {
    let inputs = [student.0, student.1, teacher.0.inner(), teacher.1.inner()].map(Tensor::into_dispatch);
    let [loss] = apply(Distill { scalings, pool: pool.cloned(), products: products() }, inputs);
    Tensor::from_dispatch(loss)
}

struct Distill {
    scalings: DistillationScalings,
    pool: Option<Arc<[u32]>>,
    products: Operands,
}

impl Function<4, 1> for Distill {
    type On = Flex;
    /// Gradients of hidden and head, made along with the loss.
    type Saved = [Array; 2];

    fn forward(&self, inputs: [Array; 4], wanted: [bool; 4]) -> ([Array; 1], Option<Self::Saved>) {
        let [hidden, head, teacher_hidden, teacher_head] = &inputs;
        let DistillationScalings { student, teacher, temperature } = self.scalings;
        let projection =
            |hidden, head, d_model, scaling: f64| Projection { hidden, head, d_model, scaling: scaling as f32 };
        let input = Distillation {
            student: projection(hidden, head, hidden.width(), student),
            teacher: projection(teacher_hidden, teacher_head, teacher_hidden.width(), teacher),
            pool: self.pool.as_deref(),
            temperature: temperature as f32,
            operands: self.products,
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
