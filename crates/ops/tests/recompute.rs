//! A part of a model whose activations are computed again, against a plain call of it.

use burn::tensor::{Device, Tensor, TensorData};
use itera_ops::{Recomputable, linear, recompute, rms_norm};
use itera_testkit::uniform;

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let values = uniform(shape.iter().product(), -2.0, 2.0, seed);
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_into_vec().expect("f32")
}

/// x → norm → two products, one of them on the side; weights [5], [5, 5], [3, 5]
fn forward(x: Tensor<3>, weights: Vec<Tensor<1>>) -> Recomputable<usize> {
    let [norm, main, side] = <[Tensor<1>; 3]>::try_from(weights).expect("three weights");
    let [b, l, d] = x.dims();
    let u = rms_norm(x.clone(), norm, 1e-5);
    let side = linear(u.clone().reshape([b * l, d]), side.reshape([3, 5]));
    Recomputable { y: x + linear(u, main.reshape([5, 5])), side: Some(side), rest: b * l }
}

#[test]
fn outputs_and_gradients_are_those_of_a_plain_call() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let run = |recomputed: bool, uses: [bool; 2], tracked: [bool; 4]| {
            let leaf = |len, seed, tracked| tensor([len], seed, &device).set_require_grad(tracked);
            let x = tensor([2, 3, 5], 4, &device).set_require_grad(tracked[0]);
            let weights = vec![leaf(5, 1, tracked[1]), leaf(25, 2, tracked[2]), leaf(15, 3, tracked[3])];
            let output = if recomputed {
                recompute(x.clone(), weights.clone(), forward)
            } else {
                forward(x.clone(), weights.clone())
            };
            let side = output.side.expect("a side");
            let found = (values(output.y.clone().inner()), values(side.clone().inner()), output.rest);
            let mut loss = Tensor::zeros([1], &device);
            for (used, part) in uses.into_iter().zip([output.y.square().sum(), side.square().sum()]) {
                loss = if used { loss + part } else { loss };
            }
            let gradients = loss.is_tracked().then(|| {
                let gradients = loss.backward();
                let of_x = x.grad(&gradients).map(values);
                [of_x].into_iter().chain(weights.iter().map(|w| w.grad(&gradients).map(values))).collect::<Vec<_>>()
            });
            (found, gradients)
        };
        for uses in [[true, true], [true, false], [false, true]] {
            assert_eq!(run(true, uses, [false; 4]), run(false, uses, [false; 4]));
            let some = (1..16).map(|bits| [0, 1, 2, 3].map(|i| bits >> i & 1 == 1));
            for tracked in some.filter(|_| device.is_autodiff()) {
                let ((found, gradients), (expected, expected_gradients)) =
                    (run(true, uses, tracked), run(false, uses, tracked));
                assert_eq!(found, expected);
                let what = format!("uses {uses:?}, tracked {tracked:?}");
                // what the loss does not reach may come as zeros
                let Some(gradients) = gradients else { continue };
                let expected = expected_gradients.unwrap_or_else(|| vec![None; 4]);
                for (found, expected) in gradients.into_iter().zip(expected) {
                    let expected = expected.or_else(|| found.as_ref().map(|found| vec![0.0; found.len()]));
                    assert_eq!(found, expected, "{what}");
                }
            }
        }
    }
}

#[test]
fn any_number_of_weights_gets_its_gradients() {
    let device = Device::flex().autodiff();
    let n = 40;
    let x = tensor([1, 2, 4], 1, &device).require_grad();
    let weights: Vec<Tensor<1>> =
        (0..n).map(|seed| tensor([4], 2 + seed, &device).set_require_grad(seed != 7)).collect();
    let product = |x: Tensor<3>, weights: Vec<Tensor<1>>| {
        let y = weights.into_iter().fold(x, |y, weight| rms_norm(y, weight, 1e-5));
        Recomputable { y, side: None, rest: () }
    };
    let gradients = |y: Tensor<3>| {
        let gradients = y.square().sum().backward();
        let of = |w: &Tensor<1>| w.grad(&gradients).map(values);
        (x.grad(&gradients).map(values), weights.iter().map(of).collect::<Vec<_>>())
    };
    let found = gradients(recompute(x.clone(), weights.clone(), product).y);
    assert_eq!(found, gradients(product(x.clone(), weights.clone()).y));
    assert_eq!(found.1.iter().filter(|gradient| gradient.is_some()).count(), n as usize - 1);
}
