//! adamw, gradient_norm, add_gradients

use burn::tensor::{Device, Tensor, TensorData};
use itera_ops::{
    AdamW, AdamWParameter, Moments, adamw, add_gradients, composite, device::tested, gradient_norm, host_values,
};
use itera_testkit::{F32_REORDERED, assert_close, uniform};

use crate::case::values;

/// Lengths below, at and beyond those of vectors and of tasks, more of them than a kernel of a GPU takes at a time.
const LENGTHS: [usize; 19] = [1, 3, 16, 17, 1000, 8192, 20_001, 5, 128, 4097, 2, 1, 4096, 33, 8, 640, 127, 129, 6];
const HYPER: AdamW = AdamW { lr: 3e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

fn tensor(len: usize, seed: u64) -> Tensor<1> {
    tensor_on(&Device::flex(), len, seed)
}

fn tensor_on(device: &Device, len: usize, seed: u64) -> Tensor<1> {
    Tensor::from_data(TensorData::new(uniform(len, -1.0, 1.0, seed), [len]), device)
}

fn gradients(seed: u64) -> Vec<Tensor<1>> {
    gradients_on(&Device::flex(), seed)
}

fn gradients_on(device: &Device, seed: u64) -> Vec<Tensor<1>> {
    (seed..).zip(LENGTHS).map(|(seed, len)| tensor_on(device, len, seed)).collect()
}

/// Where the values of a tensor lie.
fn addresses<'a>(tensors: impl IntoIterator<Item = &'a Tensor<1>>) -> Vec<usize> {
    tensors.into_iter().map(|tensor| host_values(tensor).as_ptr().addr()).collect()
}

/// Weights and moments after `steps` steps on a device.
fn run(device: &Device, steps: u64) -> Vec<(Tensor<1>, Moments)> {
    let zeros = |len| Tensor::zeros([len], device);
    let start = |len| (tensor_on(device, len, len as u64), Moments { first: zeros(len), second: zeros(len) });
    let mut all: Vec<(Tensor<1>, Moments)> = LENGTHS.map(start).into();
    for step in 1..=steps {
        let gradients = gradients_on(device, 100 * step);
        let parameters = all
            .into_iter()
            .zip(gradients)
            .enumerate()
            .map(|(i, ((weight, moments), gradient))| AdamWParameter { weight, gradient, moments, decays: i % 2 == 0 });
        all = adamw(parameters.collect(), step, 0.7, &HYPER);
    }
    all
}

#[test]
fn adamw_is_its_composite_step_after_step() {
    for steps in [1, 2, 20] {
        let expected = composite::only(|| run(&Device::flex(), steps));
        for (found, expected) in run(&tested(), steps).into_iter().zip(expected) {
            let parts = |(weight, Moments { first, second }): (Tensor<1>, Moments)| [weight, first, second];
            for ((part, found), expected) in ["weight", "m", "v"].iter().zip(parts(found)).zip(parts(expected)) {
                let what = format!("{part} of {} after {steps} steps", found.dims()[0]);
                assert_close(&what, &values(found), &values(expected), F32_REORDERED);
            }
        }
    }
}

#[test]
fn a_step_writes_in_place_and_spares_what_others_hold() {
    let [weight, gradient, first, second] = [1, 2, 3, 4].map(|seed| tensor(8192, seed));
    let before = addresses([&weight, &first, &second]);
    let held = second.clone();
    let parameter =
        AdamWParameter { weight, gradient, moments: Moments { first, second: second.square() }, decays: true };
    let (weight, moments) = adamw(vec![parameter], 1, 1.0, &HYPER).remove(0);
    assert_eq!(addresses([&weight, &moments.first]), before[..2]);
    assert_ne!(addresses([&moments.second]), before[2..]);
    assert_eq!(values(held), values(tensor(8192, 4)));

    let read = host_values(&weight);
    let exact = read.to_vec();
    let parameter = AdamWParameter { weight, gradient: tensor(8192, 2), moments, decays: true };
    let (weight, _) = adamw(vec![parameter], 2, 1.0, &HYPER).remove(0);
    assert_eq!(*read, exact, "values that are read stay");
    assert_ne!(values(weight), exact);
}

#[test]
fn a_sum_of_gradients_is_its_composite_to_the_bit_and_in_place() {
    let sum = gradients(1);
    let before = addresses(&sum);
    let found = add_gradients(sum, gradients(50));
    assert_eq!(addresses(&found), before);
    let expected = composite::only(|| add_gradients(gradients(1), gradients(50)));
    for (found, expected) in found.into_iter().zip(expected) {
        assert_eq!(values(found), values(expected));
    }
}

fn norm(gradients: &[Tensor<1>]) -> f64 {
    gradient_norm(gradients).read().expect("the device computes")
}

#[test]
fn the_norm_of_all_gradients_is_its_composite() {
    for n in 0..=LENGTHS.len() {
        let gradients = &gradients(1)[..n];
        let expected = composite::only(|| norm(gradients));
        let there = norm(&gradients_on(&tested(), 1)[..n]);
        assert!((there - expected).abs() <= F32_REORDERED * expected, "{n} tensors: {there} against {expected}");
        let found = norm(gradients);
        assert!((found - expected).abs() <= F32_REORDERED * expected, "{n} tensors: {found} against {expected}");
        let squares = gradients.iter().flat_map(|gradient| values(gradient.clone())).map(|g| f64::from(g).powi(2));
        assert!((found - squares.sum::<f64>().sqrt()).abs() <= 1e-12 * found, "{n} tensors");
    }
    for bad in [f32::NAN, f32::INFINITY] {
        for device in [tested(), Device::flex()] {
            let mut gradients = gradients_on(&device, 1);
            gradients[2] = gradients[2].clone().mul_scalar(bad);
            assert!(!norm(&gradients).is_finite());
            assert!(!composite::only(|| norm(&gradients)).is_finite());
        }
    }
}

#[test]
#[should_panic(expected = "assert_shape!(moments.second, [len]): axis 0 expected 3, got 4")]
fn moments_of_another_length_are_refused() {
    let [weight, gradient, first] = [1, 2, 3].map(|seed| tensor(3, seed));
    let moments = Moments { first, second: tensor(4, 4) };
    adamw(vec![AdamWParameter { weight, gradient, moments, decays: true }], 1, 1.0, &HYPER);
}

#[test]
#[should_panic(expected = "gradients that are added")]
fn gradients_of_another_model_are_not_added() {
    add_gradients(gradients(1), gradients(1)[1..].to_vec());
}
