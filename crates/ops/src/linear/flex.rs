//! The fused forms: one product, and two of its gradients, over `itera_kernels::gemm`.

use burn::{backend::Flex, tensor::Tensor};
use itera_kernels::gemm::{Matrix, MatrixMut, Operands, Right, Write, par_gemm};

use super::with_width;
use crate::{
    flex::{array::Array, buffers, kept::Kept},
    function::{Function, apply, only},
    precision::products,
};

pub(super) fn linear<const D: usize>(x: Tensor<D>, w_oi: Tensor<2>) -> Tensor<D> {
    let [y] = apply(Linear { products: products() }, [x.into_dispatch(), w_oi.into_dispatch()]);
    Tensor::from_dispatch(y)
}

pub(super) fn linear_residual<const D: usize>(
    x: Tensor<D>,
    w_oi: Tensor<2>,
    residual: Tensor<D>,
    multiplier: f64,
) -> Tensor<D> {
    let join = LinearResidual { products: products(), multiplier: multiplier as f32 };
    let [y] = apply(join, [x.into_dispatch(), w_oi.into_dispatch(), residual.into_dispatch()]);
    Tensor::from_dispatch(y)
}

struct Linear {
    products: Operands,
}

impl Function<2, 1> for Linear {
    type On = Flex;
    type Saved = Saved;

    fn forward(&self, [x, w]: [Array; 2], wanted: [bool; 2]) -> ([Array; 1], Option<Saved>) {
        let y = product(&x, &w, self.products, Write::Set);
        ([Array::new(y, with_width(x.shape().clone(), w.shape()[0]))], Saved::new(&x, &w, wanted))
    }

    fn backward(&self, saved: Saved, grads: [Option<Array>; 1], _: [bool; 2]) -> [Option<Array>; 2] {
        saved.gradients(&only(grads), self.products)
    }
}

struct LinearResidual {
    products: Operands,
    multiplier: f32,
}

impl Function<3, 1> for LinearResidual {
    type On = Flex;
    type Saved = Saved;

    fn forward(&self, [x, w, residual]: [Array; 3], [dx, dw, _]: [bool; 3]) -> ([Array; 1], Option<Saved>) {
        // the weight is small beside the activations: scale it instead of them
        let w = w.scaled(self.multiplier);
        let y = product(&x, &w, self.products, Write::Onto(&residual));
        ([Array::new(y, residual.shape().clone())], Saved::new(&x, &w, [dx, dw]))
    }

    fn backward(&self, saved: Saved, grads: [Option<Array>; 1], _: [bool; 3]) -> [Option<Array>; 3] {
        let dy = only(grads);
        let [dx, dw] = saved.gradients(&dy, self.products);
        [dx, dw.map(|dw| dw.scaled(self.multiplier)), Some(dy)]
    }
}

/// What the gradients of a product need: each operand, if the other's is wanted.
struct Saved {
    x: Option<Kept>,
    w: Option<Kept>,
    out: usize,
    d_in: usize,
}

impl Saved {
    fn new(x: &Array, w: &Array, [dx, dw]: [bool; 2]) -> Option<Self> {
        let (x, w_kept) = (dw.then(|| Kept::activation(x)), dx.then(|| Kept::weight(w)));
        Some(Self { x, w: w_kept, out: w.shape()[0], d_in: w.width() })
    }

    /// `dx = dy · w` and `dw = dyᵀ · x`.
    fn gradients(&self, dy: &Array, products: Operands) -> [Option<Array>; 2] {
        let Self { out, d_in, .. } = *self;
        let rows = dy.len() / out;
        let dy = Matrix::new(dy, rows, out);
        let dx = self.w.as_ref().map(|w| {
            let mut dx = buffers::take(rows * d_in);
            let w = w.read();
            let w = Matrix::new(&w, out, d_in).with_operands(products);
            par_gemm(dy, w, MatrixMut::new(&mut dx, rows, d_in), Write::Set);
            dx.into()
        });
        let dw = self.x.as_ref().map(|x| {
            let mut dw = buffers::take(out * d_in);
            let x = Right::stored(x.stored(), rows, d_in, products);
            par_gemm(dy.t(), x, MatrixMut::new(&mut dw, out, d_in), Write::Set);
            dw.into()
        });
        [dx, dw]
    }
}

/// `x · wᵀ` in a buffer of the pool.
fn product(x: &Array, w: &Array, products: Operands, write: Write<'_>) -> Vec<f32> {
    let (out, d_in) = (w.shape()[0], w.width());
    let rows = x.len() / d_in;
    let mut y = buffers::take(rows * out);
    let w = Matrix::new(w, out, d_in).t().with_operands(products);
    par_gemm(Matrix::new(x, rows, d_in), w, MatrixMut::new(&mut y, rows, out), write);
    y
}
