use burn::{
    backend::Flex,
    tensor::{Device, Distribution, Tensor, TensorData},
};
use itera_shape::Precision;
use itera_testkit::{F32_REORDERED, assert_close, uniform};

use super::*;
use crate::{
    flex::{
        array::Array,
        buffers::{self, alone},
        kept::Kept,
    },
    precision::{precisions, with_precision},
    saved_bytes,
};

const LEN: usize = 8192;

/// a, b → a + 3·b, a·b
struct SumAndProduct;

impl Function<2, 2> for SumAndProduct {
    type On = Flex;
    type Saved = [Option<Kept>; 2];

    fn forward(&self, [a, b]: [Array; 2], wanted: [bool; 2]) -> ([Array; 2], Option<Self::Saved>) {
        let mut sum = buffers::take(a.len());
        let mut product = buffers::take(a.len());
        for (i, (a, b)) in a.iter().zip(b.iter()).enumerate() {
            (sum[i], product[i]) = (a + 3.0 * b, a * b);
        }
        let saved = [wanted[1].then(|| Kept::activation(&a)), wanted[0].then(|| Kept::activation(&b))];
        let outputs = [sum, product].map(|y| Array::new(y, a.shape().clone()));
        (outputs, wanted.contains(&true).then_some(saved))
    }

    fn backward(&self, saved: Self::Saved, grads: [Option<Array>; 2], wanted: [bool; 2]) -> [Option<Array>; 2] {
        assert!(grads.iter().any(Option::is_some));
        assert_eq!(wanted, [saved[1].is_some(), saved[0].is_some()]);
        let gradient = |scale: f32, other: &Option<Kept>| {
            let other = other.as_ref()?.read();
            let mut dx = buffers::take(other.len());
            for (i, dx) in dx.iter_mut().enumerate() {
                let [d_sum, d_product] = grads.each_ref().map(|grad| grad.as_ref().map_or(0.0, |grad| grad[i]));
                *dx = scale * d_sum + d_product * other[i];
            }
            Some(dx.into())
        };
        [gradient(1.0, &saved[1]), gradient(3.0, &saved[0])]
    }
}

fn sum_and_product<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> [Tensor<D>; 2] {
    apply(SumAndProduct, [a.into_dispatch(), b.into_dispatch()]).map(Tensor::from_dispatch)
}

fn composite<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> [Tensor<D>; 2] {
    [a.clone() + b.clone().mul_scalar(3.0), a * b]
}

/// x, w → x·w of the same shape, w a weight
struct Scale;

impl Function<2, 1> for Scale {
    type On = Flex;
    type Saved = (Kept, Kept);

    fn forward(&self, [x, w]: [Array; 2], wanted: [bool; 2]) -> ([Array; 1], Option<Self::Saved>) {
        let mut y = buffers::take(x.len());
        y.iter_mut().zip(x.iter().zip(w.iter())).for_each(|(y, (x, w))| *y = x * w);
        let saved = wanted.contains(&true).then(|| (Kept::activation(&x), Kept::weight(&w)));
        ([Array::new(y, x.shape().clone())], saved)
    }

    fn backward(&self, (x, w): Self::Saved, grads: [Option<Array>; 1], wanted: [bool; 2]) -> [Option<Array>; 2] {
        let dy = only(grads);
        let times = |other: &Kept| {
            let mut dx = buffers::take(dy.len());
            dx.iter_mut().zip(dy.iter().zip(other.read().iter())).for_each(|(dx, (dy, other))| *dx = dy * other);
            Array::from(dx)
        };
        [wanted[0].then(|| times(&w)), wanted[1].then(|| times(&x))]
    }
}

fn scale<const D: usize>(x: Tensor<D>, w: Tensor<D>) -> Tensor<D> {
    let [y] = apply(Scale, [x.into_dispatch(), w.into_dispatch()]);
    Tensor::from_dispatch(y)
}

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let values = uniform(shape.iter().product(), -1.0, 1.0, seed);
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec().expect("f32")
}

fn sum_of_squares<const D: usize>(x: &Tensor<D>) -> Tensor<1> {
    x.clone().square().sum()
}

#[test]
fn gradients_equal_autodiffs_for_all_inputs_and_outputs_that_may_matter() {
    let _alone = alone();
    for device in [Device::flex().autodiff(), Device::flex().autodiff().gradient_checkpointing()] {
        for (tracked, used) in (1..4usize).flat_map(|tracked| (1..4usize).map(move |used| (tracked, used))) {
            let run = |f: fn(Tensor<3>, Tensor<3>) -> [Tensor<3>; 2]| {
                let [a, b] = [0, 1].map(|i| {
                    let x = tensor([2, 3, 5], 1 + i, &device);
                    if tracked >> i & 1 == 1 { x.require_grad() } else { x }
                });
                // results between operators, so that inputs are inner nodes of the graph
                let outputs = f(a.clone().mul_scalar(2.0), b.clone().mul_scalar(0.5));
                let mut loss = Tensor::zeros([1], &device);
                for (i, y) in outputs.iter().enumerate() {
                    loss = if used >> i & 1 == 1 { loss + sum_of_squares(y) } else { loss };
                }
                let grads = loss.backward();
                let of = |x: &Tensor<3>| x.grad(&grads).map(values);
                (outputs.map(values), [of(&a), of(&b)])
            };
            let ((found, found_grads), (expected, expected_grads)) = (run(sum_and_product), run(composite));
            let what = format!("tracked {tracked:02b}, used {used:02b}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(&what, found, expected, F32_REORDERED);
            }
            for (found, expected) in found_grads.iter().zip(&expected_grads) {
                assert_eq!(found.is_some(), expected.is_some(), "{what}");
                if let (Some(found), Some(expected)) = (found, expected) {
                    assert_close(&what, found, expected, F32_REORDERED);
                }
            }
        }
    }
    assert_eq!(saved_bytes(), 0);
}

#[test]
fn nothing_is_saved_where_no_gradient_is_wanted() {
    let _alone = alone();
    for device in [Device::flex(), Device::flex().autodiff()] {
        let (a, b) = (tensor([7], 1, &device), tensor([7], 2, &device));
        let outputs = sum_and_product(a.clone(), b.clone());
        assert_eq!(saved_bytes(), 0);
        assert!(outputs.iter().all(|y| y.device().is_autodiff() == device.is_autodiff() && !y.is_tracked()));
        assert_eq!(outputs.map(values), composite(a, b).map(values));
    }
}

#[test]
fn a_tensor_without_autodiff_is_a_constant() {
    let _alone = alone();
    let x = tensor([4], 1, &Device::flex().autodiff()).require_grad();
    let w = tensor([4], 2, &Device::flex());
    let grads = scale(x.clone(), w.clone()).sum().backward();
    assert_eq!(x.grad(&grads).map(values), Some(values(w)));
}

#[test]
fn one_tensor_may_be_every_input() {
    let _alone = alone();
    let x = tensor([5], 1, &Device::flex().autodiff()).require_grad();
    let grads = scale(x.clone(), x.clone()).sum().backward();
    let expected: Vec<f32> = values(x.clone()).iter().map(|x| 2.0 * x).collect();
    assert_eq!(x.grad(&grads).map(values), Some(expected));
}

#[test]
fn inputs_and_gradients_may_lie_in_memory_in_any_order() {
    let _alone = alone();
    let device = Device::flex().autodiff();
    let run = |f: fn(Tensor<2>, Tensor<2>) -> [Tensor<2>; 2]| {
        let x = tensor([6, 9], 1, &device).require_grad();
        let a = x.clone().transpose().narrow(0, 2, 4);
        let b = x.clone().narrow(0, 1, 4).narrow(1, 3, 6);
        let prefix = x.clone().narrow(0, 0, 4).narrow(1, 0, 6);
        let [sum, product] = f(a, b);
        let [last, _] = f(product.transpose(), prefix.transpose());
        // the gradients of a sum and of a transpose are views
        let grads = (last.transpose() + sum).sum().backward();
        x.grad(&grads).map(values)
    };
    let (found, expected) = (run(sum_and_product).expect("tracked"), run(composite).expect("tracked"));
    assert_close("gradient", &found, &expected, F32_REORDERED);
}

#[test]
fn saved_storage_counts_once_and_until_its_last_backward() {
    let _alone = alone();
    let device = Device::flex().autodiff();
    let [x, w] = [1, 2].map(|seed| tensor([LEN], seed, &device).require_grad());
    let first = scale(x.clone(), w.clone());
    assert_eq!(saved_bytes(), LEN * 4, "x, and not the weight");
    let second = scale(x.clone(), first.clone());
    assert_eq!(saved_bytes(), LEN * 4, "x again");
    let [third, unused] = sum_and_product(second.clone(), x.clone());
    assert_eq!(saved_bytes(), 2 * LEN * 4, "x again, and the second result");
    drop((first, second, unused));
    assert_eq!(saved_bytes(), 2 * LEN * 4);
    drop(third.sum().backward());
    assert_eq!(saved_bytes(), 0);
}

#[test]
fn an_abandoned_graph_is_not_saved_for_ever() {
    let _alone = alone();
    let device = Device::flex().autodiff();
    let x = tensor([LEN], 1, &device).require_grad();
    drop(sum_and_product(x.clone(), scale(x.clone(), x.clone())));
    // Burn looks for graphs that cannot run any more when another one runs
    drop(x.clone().sum().backward());
    assert_eq!(saved_bytes(), 0);
}

/// Drop the last handle of a tensor as a fused operator drops its inputs.
fn recycle<const D: usize>(tensor: Tensor<D>) {
    drop(Array::from_flex(tensor.try_into_primitive::<Flex>().expect("flex")));
}

#[test]
fn storage_passes_through_burn_without_a_copy_and_back_to_the_pool() {
    let _alone = alone();
    let buffer = buffers::take(LEN);
    let address = buffer.as_ptr().addr();
    let array = Array::new(buffer, [2, LEN / 2]);
    assert_eq!(array.address(), address);
    let tensor: Tensor<3> = Tensor::<2>::from_primitive::<Flex>(array.into_flex()).reshape([2, 2, LEN / 4]);
    let array = Array::from_flex(tensor.clone().try_into_primitive::<Flex>().expect("flex"));
    assert_eq!(array.address(), address);
    drop(array);
    assert_eq!(buffers::free_bytes(), 0, "the tensor still owns it");
    recycle(tensor);
    assert_eq!(buffers::free_bytes(), LEN * 4);
    let again = buffers::take(LEN);
    assert_eq!(again.as_ptr().addr(), address);
}

#[test]
fn training_steps_pass_the_same_buffers_around() {
    let _alone = alone();
    let device = Device::flex().autodiff();
    let leaves: [Tensor<1>; 6] = std::array::from_fn(|i| tensor([LEN], i as u64, &device).require_grad());
    let [x, weights @ ..] = &leaves;
    // of the six gradients, the result that Burn's sum consumed and, in bfloat16, five copies and a widened one
    for (precision, lie_there) in [(Precision::F32, 7.0), (Precision::Bf16, 6.0 + 1.0 + 5.0 / 2.0 + 1.0)] {
        for step in 0..4 {
            let y = with_precision(precision, || weights.iter().fold(x.clone(), |y, w| scale(y, w.clone())));
            let mut grads = y.sum().backward();
            for leaf in &leaves {
                recycle(leaf.grad_remove(&mut grads).expect("tracked"));
            }
            let lying = buffers::free_bytes() as f64 / (LEN * 4) as f64;
            assert_eq!(lying, lie_there, "{precision:?}, step {step}: in units of a tensor");
        }
        buffers::clear();
    }
}

#[test]
fn the_end_of_a_step_frees_what_the_step_did_not_need() {
    let _alone = alone();
    let x = tensor([LEN], 1, &Device::flex().autodiff()).require_grad();
    let step = || drop(scale(x.clone(), x.clone()).sum().backward());
    let other = buffers::take(3 * LEN);
    step();
    let with_step = buffers::free_bytes();
    buffers::give(other);
    step();
    assert_eq!(buffers::free_bytes(), with_step + 3 * LEN * 4, "it lay there for a part of the step only");
    step();
    assert_eq!(buffers::free_bytes(), with_step);
}

#[test]
fn inference_frees_now_and_then_what_it_does_not_need() {
    let _alone = alone();
    let [x, w] = [1, 2].map(|seed| tensor([LEN], seed, &Device::flex()));
    buffers::give(buffers::take(3 * LEN));
    for _ in 0..2 * buffers::TAKES_PER_TRIM + 4 {
        assert!(buffers::free_bytes() > 0);
        recycle(scale(x.clone(), w.clone()));
    }
    assert_eq!(buffers::free_bytes(), LEN * 4);
}

#[test]
fn the_type_of_what_is_saved_holds_within_its_scope() {
    with_precision(Precision::Bf16, || {
        with_precision(Precision::F32, || assert_eq!(precisions().saved, Precision::F32));
        assert_eq!(precisions().saved, Precision::Bf16);
    });
    assert_eq!(precisions().saved, Precision::F32);
    let panicked = std::panic::catch_unwind(|| with_precision(Precision::Bf16, || panic!("in forward")));
    assert!(panicked.is_err());
    assert_eq!(precisions().saved, Precision::F32);
}

#[test]
fn bfloat16_halves_what_is_saved_and_rounds_what_backward_reads() {
    let _alone = alone();
    let device = Device::flex().autodiff();
    let [x, w] = [1, 2]
        .map(|seed| Tensor::<1>::random([LEN + 1], Distribution::Default, &device).mul_scalar(seed).require_grad());
    let run = |precision| {
        with_precision(precision, || {
            let y = scale(x.clone(), w.clone());
            let [_, product] = sum_and_product(x.clone(), y.clone());
            (saved_bytes(), values(product.clone()), product.sum().backward())
        })
    };
    let (f32_bytes, f32_outputs, f32_grads) = run(Precision::F32);
    let (bytes, outputs, grads) = run(Precision::Bf16);
    assert_eq!([f32_bytes, bytes], [2 * 4 * (LEN + 1), 2 * 2 * (LEN + 1)], "x by both operators and y");
    assert_eq!(f32_outputs, outputs, "forward is untouched");
    assert_eq!(saved_bytes(), 0);

    let bf16 = |x: &f32| burn::tensor::bf16::from_f32(*x).to_f32();
    let (xs, ws) = (values(x.clone()), values(w.clone()));
    // y = x·w and p = x·y: dw = x̃·x̃, where ˜ is what was saved
    let expected: Vec<f32> = xs.iter().map(|x| bf16(x) * bf16(x)).collect();
    assert_eq!(w.grad(&grads).map(values), Some(expected), "the gradient of the weight");
    // dx = ỹ + x̃·w: the weight is not rounded
    let expected: Vec<f32> = xs.iter().zip(&ws).map(|(x, w)| bf16(&(x * w)) + bf16(x) * w).collect();
    let found = x.grad(&grads).map(values).expect("tracked");
    assert_close("the gradient of x", &found, &expected, F32_REORDERED);
    assert_ne!(x.grad(&f32_grads).map(values), Some(found), "rounding shows");
}

#[test]
fn a_bfloat16_copy_is_not_taken_for_that_of_other_values_in_the_same_place() {
    let _alone = alone();
    let device = Device::flex().autodiff();
    let w = tensor([LEN], 1, &device).require_grad();
    with_precision(Precision::Bf16, || {
        let x = tensor([LEN], 2, &device);
        let y = scale(x.clone(), w.clone());
        // Burn writes the only handle in place
        let z = scale(x.mul_scalar(-2.0), w.clone());
        let grads = (y + z).sum().backward();
        let bf16 = |x: &f32| burn::tensor::bf16::from_f32(*x).to_f32();
        let expected: Vec<f32> = values(tensor([LEN], 2, &device)).iter().map(|x| -bf16(x)).collect();
        assert_eq!(w.grad(&grads).map(values), Some(expected));
    });
}
