//! head_cross_entropy

use burn::tensor::{Int, Tensor, TensorData};
use itera_ops::head_cross_entropy;
use itera_testkit::F32_REORDERED;

use crate::case::{Case, Output};

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
fn their_mean_and_their_sum_are_those_of_the_composite() {
    for (shape, scaling) in SHAPES.into_iter().flat_map(|shape| [(shape, 1.0), (shape, 3.0)]) {
        // one output, weighed: of the mean a part, of the sum every token the same
        let reductions: [fn(Tensor<1>) -> Tensor<1>; 3] = [Tensor::mean, |t| t.mean().mul_scalar(0.25), Tensor::sum];
        for reduce in reductions {
            case(shape, scaling).check(|inputs| vec![Output::from(reduce(nats(shape, scaling, inputs)))]);
        }
    }
}

#[test]
fn the_gradients_found_along_with_the_loss_are_those_of_the_mean() {
    use burn::tensor::Device;
    use itera_ops::composite;
    use itera_testkit::{assert_close, uniform};

    // the weighted sums of `Case` never ask for exactly the mean
    let device = Device::flex().autodiff();
    for shape @ [t, d, v] in SHAPES {
        let leaf = |len, seed| Tensor::<1>::from_floats(uniform(len, -1.0, 1.0, seed).as_slice(), &device);
        let leaves = [leaf(t * d, 1).require_grad(), leaf(v * d, 2).require_grad()];
        let run = || {
            let grads = nats(shape, 1.5, &leaves).mean().backward();
            leaves.each_ref().map(|leaf| crate::case::values(leaf.grad(&grads).expect("tracked")))
        };
        let (found, expected) = (run(), composite::only(run));
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(&format!("mean, {shape:?}"), found, expected, F32_REORDERED);
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
