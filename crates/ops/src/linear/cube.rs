//! The fused forms of CubeCL's devices: one product, and two of its gradients, by Burn's kernel.

use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;
use itera_shape::Precision;

use super::with_width;
use crate::{
    cube::{
        array::{Array, array, rows},
        operand::Operand,
    },
    function::{Arrays, Function, apply, only},
    precision::precisions,
};

pub(super) fn linear<const D: usize>(x: Tensor<D>, w_oi: Tensor<2>) -> Tensor<D> {
    let linear = Linear { products: precisions().products };
    let [y] = apply(linear, [x.into_dispatch(), w_oi.into_dispatch()]);
    Tensor::from_dispatch(y)
}

pub(super) fn linear_residual<const D: usize>(
    x: Tensor<D>,
    w_oi: Tensor<2>,
    residual: Tensor<D>,
    multiplier: f64,
) -> Tensor<D> {
    let join = LinearResidual { products: precisions().products, multiplier: multiplier as f32 };
    let [y] = apply(join, [x.into_dispatch(), w_oi.into_dispatch(), residual.into_dispatch()]);
    Tensor::from_dispatch(y)
}

/// Each operand of a product, if the gradient of the other is wanted.
type Saved = [Option<Operand>; 2];

struct Linear {
    products: Precision,
}

impl Function<2, 1> for Linear {
    type On = CubeBackend;
    type Saved = Saved;

    fn forward(&self, [x, w]: [Array; 2], wanted: [bool; 2]) -> ([Array; 1], Option<Saved>) {
        let (y, saved) = product(&x, &rows(&w), self.products, wanted);
        ([CubeBackend::reshape(array(y), with_width(x.shape(), w.shape()[0]))], Some(saved))
    }

    fn backward(&self, saved: Saved, grads: [Option<Array>; 1], _: [bool; 2]) -> [Option<Array>; 2] {
        gradients(saved, &only(grads), self.products).map(|gradient| gradient.map(array))
    }
}

struct LinearResidual {
    products: Precision,
    multiplier: f32,
}

impl Function<3, 1> for LinearResidual {
    type On = CubeBackend;
    type Saved = Saved;

    fn forward(&self, [x, w, residual]: [Array; 3], [dx, dw, _]: [bool; 3]) -> ([Array; 1], Option<Saved>) {
        // the weight is small beside the activations: scale it instead of them
        let w = rows(&w).mul_scalar(self.multiplier);
        let (y, saved) = product(&x, &w, self.products, [dx, dw]);
        ([CubeBackend::reshape(array(rows(&residual) + y), residual.shape())], Some(saved))
    }

    fn backward(&self, saved: Saved, grads: [Option<Array>; 1], _: [bool; 3]) -> [Option<Array>; 3] {
        let dy = only(grads);
        let [dx, dw] = gradients(saved, &dy, self.products);
        [dx.map(array), dw.map(|dw| array(dw.mul_scalar(self.multiplier))), Some(dy)]
    }
}

/// `x · wᵀ`, and what its gradients need.
fn product(x: &Array, w: &Tensor<2>, products: Precision, [dx, dw]: [bool; 2]) -> (Tensor<2>, Saved) {
    let (x, w) = (Operand::rows(x, products), Operand::new(w.clone(), products));
    (x.times(&w.t()), [dw.then_some(x), dx.then_some(w)])
}

/// `dx = dy · w` and `dw = dyᵀ · x`.
fn gradients([x, w]: Saved, dy: &Array, products: Precision) -> [Option<Tensor<2>>; 2] {
    let dy = Operand::rows(dy, products);
    [w.map(|w| dy.times(&w)), x.map(|x| dy.t().times(&x))]
}
