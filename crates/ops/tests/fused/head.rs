//! head_cross_entropy

use burn::tensor::{Device, Int, Tensor, TensorData};
use itera_ops::{composite, head_cross_entropy};
use itera_testkit::{F32_REORDERED, assert_close, uniform};

use crate::case::{Case, values};

/// Tokens, d_model, vocabulary.
const SHAPES: [[usize; 3]; 8] =
    [[1, 1, 1], [1, 16, 2], [3, 7, 5], [64, 33, 258], [65, 128, 1000], [129, 32, 1025], [300, 17, 31], [31, 64, 4099]];

fn case([t, d, v]: [usize; 3], scaling: f64) -> Case {
    Case::new(format!("head, {t} tokens, d {d}, v {v}, scaling {scaling}"), F32_REORDERED)
        .uniform(t * d, -1.0, 1.0)
        .uniform(v * d, -1.0, 1.0)
}

fn nats([t, d, v]: [usize; 3], scaling: f64, inputs: &[Tensor<1>]) -> Tensor<1> {
    let [hidden, head] = inputs else { unreachable!() };
    // the first and the last of the vocabulary are targets
    let targets: Vec<i32> = (0..t).map(|i| [0, v - 1, i * 31 % v][i % 3] as i32).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [t]), &hidden.device());
    head_cross_entropy(hidden.clone().reshape([t, d]), head.clone().reshape([v, d]), targets, scaling)
}

#[test]
fn nats_that_weigh_differently_are_those_of_the_composite() {
    for (shape, scaling) in SHAPES.into_iter().flat_map(|shape| [(shape, 1.0), (shape, 3.0)]) {
        case(shape, scaling).check(|inputs| vec![nats(shape, scaling, inputs).into()]);
    }
}

#[test]
fn the_gradients_of_a_mean_a_part_of_it_and_a_sum_are_those_of_the_composite() {
    let device = Device::flex().autodiff();
    for (shape @ [t, d, v], scaling) in SHAPES.into_iter().flat_map(|shape| [(shape, 1.0), (shape, 3.0)]) {
        let leaf = |len, seed| Tensor::<1>::from_floats(uniform(len, -1.0, 1.0, seed).as_slice(), &device);
        let leaves = [leaf(t * d, 1).require_grad(), leaf(v * d, 2).require_grad()];
        let mean: fn(Tensor<1>) -> Tensor<1> = Tensor::mean;
        // every token weighs the same: what it weighs is taken out of the gradients again
        for (weight, reduce) in [
            (1.0 / t as f32, mean),
            (0.25 / t as f32, |nats| nats.mean().mul_scalar(0.25)),
            (1.0, Tensor::sum),
            (-2.0, |nats| nats.sum().mul_scalar(-2.0)),
        ] {
            let run = || {
                let grads = reduce(nats(shape, scaling, &leaves)).backward();
                leaves.each_ref().map(|leaf| {
                    let grad = values(leaf.grad(&grads).expect("tracked"));
                    grad.into_iter().map(|g| g / weight).collect::<Vec<_>>()
                })
            };
            for (found, expected) in run().iter().zip(&composite::only(run)) {
                assert_close(&format!("{shape:?}, tokens weigh {weight}"), found, expected, F32_REORDERED);
            }
        }
    }
}

#[test]
fn large_logits_neither_overflow_nor_lose_the_target() {
    let shape @ [t, d, v] = [20, 8, 70];
    Case::new("large logits", F32_REORDERED)
        .uniform(t * d, -40.0, 40.0)
        .uniform(v * d, -4.0, 4.0)
        .check(|inputs| vec![nats(shape, 1.0, inputs).into()]);
}
