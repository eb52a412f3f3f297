//! A module whose activations are computed again, against a plain call of it.

use burn::{
    module::{Module, Param, ParamId},
    tensor::{Device, Tensor, TensorData},
};
use itera_ops::{Recomputable, linear, recompute, rms_norm};
use itera_testkit::uniform;

/// x → norm → two products, one of them on the side
#[derive(Module, Debug)]
struct Two {
    norm: Param<Tensor<1>>,
    main: Param<Tensor<2>>,
    side: Param<Tensor<2>>,
}

impl Two {
    fn init(device: &Device) -> Self {
        Self {
            norm: Param::initialized(ParamId::new(), tensor([5], 1, device).set_require_grad(device.is_autodiff())),
            main: Param::initialized(ParamId::new(), tensor([5, 5], 2, device).set_require_grad(device.is_autodiff())),
            side: Param::initialized(ParamId::new(), tensor([3, 5], 3, device)),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Recomputable<usize> {
        let [b, l, d] = x.dims();
        let u = rms_norm(x.clone(), self.norm.val(), 1e-5);
        let side = linear(u.clone().reshape([b * l, d]), self.side.val());
        Recomputable { y: x + linear(u, self.main.val()), side: Some(side), rest: b * l }
    }
}

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let values = uniform(shape.iter().product(), -2.0, 2.0, seed);
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_into_vec().expect("f32")
}

#[test]
fn outputs_and_gradients_are_those_of_a_plain_call() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let module = Two::init(&device);
        let run = |recomputed: bool, uses: [bool; 2], tracked: bool| {
            let x = tensor([2, 3, 5], 4, &device).set_require_grad(tracked);
            let output =
                if recomputed { recompute(&module, x.clone(), Two::forward) } else { module.forward(x.clone()) };
            let side = output.side.expect("a side");
            let found = (values(output.y.clone().inner()), values(side.clone().inner()), output.rest);
            let mut loss = Tensor::zeros([1], &device);
            for (used, part) in uses.into_iter().zip([output.y.square().sum(), side.square().sum()]) {
                loss = if used { loss + part } else { loss };
            }
            let of = |grads: &_| {
                let [norm, main] =
                    [module.norm.val().grad(grads).map(values), module.main.val().grad(grads).map(values)];
                [x.grad(grads).map(values), norm, main, module.side.val().grad(grads).map(values)]
            };
            (found, device.is_autodiff().then(|| of(&loss.backward())))
        };
        for uses in [[true, true], [true, false], [false, true]] {
            let tracked = device.is_autodiff();
            assert_eq!(run(true, uses, tracked).0, run(false, uses, tracked).0);
            for tracked in [true, false].into_iter().filter(|_| device.is_autodiff()) {
                let (found, expected) = (run(true, uses, tracked).1, run(false, uses, tracked).1);
                let (found, expected) = (found.expect("gradients"), expected.expect("gradients"));
                for ((name, found), expected) in ["x", "norm", "main", "side"].into_iter().zip(found).zip(expected) {
                    // what the loss does not reach may come as zeros
                    let expected = expected.or_else(|| found.as_ref().map(|found| vec![0.0; found.len()]));
                    assert_eq!(found, expected, "{name}, uses {uses:?}, tracked {tracked}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "16 weights, at most 15 can be recomputed")]
fn a_module_with_more_weights_is_refused() {
    let device = Device::flex();
    let weights: Vec<Param<Tensor<1>>> =
        (0..16).map(|_| Param::initialized(ParamId::new(), tensor([1], 1, &device))).collect();
    recompute(&weights, tensor([1, 1, 1], 2, &device), |_, x| Recomputable { y: x, side: None, rest: () });
}
