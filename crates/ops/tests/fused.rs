//! Fused operators against their composites: outputs and gradients, for every choice of inputs that are tracked.

use burn::tensor::{Device, Tensor, TensorData};
use itera_ops::{composite, rms_norm};
use itera_testkit::{F32_REORDERED, assert_close, uniform};

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let values = uniform(shape.iter().product(), -2.0, 2.0, seed);
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_into_vec().expect("f32")
}

/// Outputs, and the gradients of a weighted sum of them, of `fused` and of `composite` at an `x` of `shape` and a
/// weight of `w_len`.
fn assert_same<const D: usize>(
    what: &str,
    shape: [usize; D],
    w_len: usize,
    fused: impl Fn(Tensor<D>, Tensor<1>) -> Tensor<D>,
    composite: impl Fn(Tensor<D>, Tensor<1>) -> Tensor<D>,
) {
    let inference = Device::flex();
    let (x, w) = (tensor(shape, 1, &inference), tensor([w_len], 2, &inference));
    let expected = composite(x.clone(), w.clone());
    let cotangent: Tensor<D> = tensor(expected.dims(), 3, &inference);
    let y = fused(x, w);
    assert_eq!(y.dims(), expected.dims(), "{what}");
    assert_close(what, &values(y), &values(expected), F32_REORDERED);

    let training = Device::flex().autodiff();
    for tracked in 0..4 {
        let run = |f: &dyn Fn(Tensor<D>, Tensor<1>) -> Tensor<D>| {
            let x = tensor(shape, 1, &training).set_require_grad(tracked & 1 == 1);
            let w = tensor([w_len], 2, &training).set_require_grad(tracked & 2 == 2);
            let y = f(x.clone(), w.clone());
            if !y.is_tracked() {
                return [Some(values(y)), None, None];
            }
            let grads = (y.clone() * cotangent.clone()).sum().backward();
            [Some(values(y)), x.grad(&grads).map(values), w.grad(&grads).map(values)]
        };
        for (found, expected) in run(&fused).iter().zip(&run(&composite)) {
            assert_eq!(found.is_some(), expected.is_some(), "{what}, tracked {tracked:02b}");
            if let (Some(found), Some(expected)) = (found, expected) {
                assert_close(&format!("{what}, tracked {tracked:02b}"), found, expected, F32_REORDERED);
            }
        }
    }
}

#[test]
fn rms_norm_is_its_composite() {
    for [rows, d] in [[1, 1], [3, 7], [2, 16], [33, 31], [65, 128], [300, 33]] {
        let what = format!("rms_norm, {rows} rows, d {d}");
        let (fused, plain) = (|x, w| rms_norm(x, w, 1e-5), |x, w| composite::rms_norm(x, w, 1e-5));
        assert_same(&what, [rows, d], d, fused, plain);
        let (fused, plain) = (|x, w| rms_norm(x, w, 1e-5), |x, w| composite::rms_norm(x, w, 1e-5));
        assert_same(&what, [rows, 1, d], d, fused, plain);
    }
}
