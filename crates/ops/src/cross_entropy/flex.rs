//! The fused form, over `itera_kernels::cross_entropy`: logits exist a block at a time.
//!
//! It makes the gradients along with the loss, for the mean over tokens. Where tokens weigh differently a second pass
//! makes them again.

use burn::{
    backend::Flex,
    tensor::{Int, Tensor},
};
use itera_kernels::{
    cross_entropy::{Gradients, HeadCrossEntropy, Upstream, forward, forward_backward},
    gemm::Operands,
};

use crate::{
    flex::{
        array::{Array, ids},
        buffers,
        kept::Kept,
    },
    function::{Function, apply, only},
    precision::products,
};

pub(super) fn head_cross_entropy(
    hidden_td: Tensor<2>,
    head_vd: Tensor<2>,
    targets_t: Tensor<1, Int>,
    logits_scaling: f64,
) -> Tensor<1> {
    let head = Head { targets: ids(targets_t), scaling: logits_scaling as f32, products: products() };
    let [nats] = apply(head, [hidden_td.into_dispatch(), head_vd.into_dispatch()]);
    Tensor::from_dispatch(nats)
}

struct Head {
    targets: Vec<i32>,
    scaling: f32,
    products: Operands,
}

struct Saved {
    hidden: Kept,
    head: Kept,
    /// Gradients of hidden and head if the loss is the mean over tokens.
    of_mean: [Array; 2],
    d_model: usize,
}

impl Head {
    fn input<'a>(&'a self, hidden: &'a [f32], head: &'a [f32], d_model: usize) -> HeadCrossEntropy<'a> {
        let Self { targets, scaling, products } = self;
        HeadCrossEntropy { hidden, head, d_model, targets, scaling: *scaling, operands: *products }
    }

    /// The upstream gradient of every token under a mean.
    fn mean_weight(&self) -> f32 {
        1.0 / self.targets.len() as f32
    }
}

/// Nats of each token, and the gradients of hidden and head.
fn with_gradients(input: &HeadCrossEntropy<'_>, upstream: Upstream<'_>) -> (Vec<f32>, [Array; 2]) {
    let [mut nats, mut hidden, mut head] =
        [input.targets.len(), input.hidden.len(), input.head.len()].map(buffers::take);
    let gradients = Gradients { hidden: &mut hidden, head: &mut head };
    forward_backward(input, upstream, &mut nats, gradients);
    (nats, [hidden.into(), head.into()])
}

impl Function<2, 1> for Head {
    type On = Flex;
    type Saved = Saved;

    fn forward(&self, [hidden, head]: [Array; 2], wanted: [bool; 2]) -> ([Array; 1], Option<Saved>) {
        let d_model = hidden.width();
        let input = self.input(&hidden, &head, d_model);
        if !wanted.contains(&true) {
            let mut nats = buffers::take(self.targets.len());
            forward(&input, &mut nats);
            return ([nats.into()], None);
        }
        let (nats, of_mean) = with_gradients(&input, Upstream::Same(self.mean_weight()));
        let saved = Saved { hidden: Kept::exact(&hidden), head: Kept::weight(&head), of_mean, d_model };
        ([nats.into()], Some(saved))
    }

    fn backward(&self, saved: Saved, grads: [Option<Array>; 1], _: [bool; 2]) -> [Option<Array>; 2] {
        let Saved { hidden, head, of_mean, d_model } = saved;
        let upstream = only(grads);
        let same = upstream.first().copied().unwrap_or_else(|| self.mean_weight());
        if upstream.iter().all(|weight| *weight == same) {
            return of_mean.map(|of_mean| Some(of_mean.scaled(same / self.mean_weight())));
        }
        let (hidden, head) = (hidden.read(), head.read());
        let (nats, gradients) = with_gradients(&self.input(&hidden, &head, d_model), Upstream::Each(&upstream));
        buffers::give(nats);
        gradients.map(Some)
    }
}
