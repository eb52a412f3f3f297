//! x, w → x · wᵀ, alone or added to a residual stream

pub(crate) mod composite;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;

use burn::tensor::{Tensor, assert_shape};

use crate::dispatch::dispatch;

/// `y = x · wᵀ`: a linear layer without bias, its weight stored row by output as on disk.
///
/// # Shapes
/// `x`: [.., in], `w_oi`: [out, in] → [.., out]
///
/// # Panics
/// If the shapes do not fit.
pub fn linear<const D: usize>(x: Tensor<D>, w_oi: Tensor<2>) -> Tensor<D> {
    let [_, d_in] = w_oi.dims();
    assert_shape!(x, [.., d_in]);
    dispatch!(flex, cube: &x => linear(x, w_oi))
}

/// `y = residual + multiplier · x · wᵀ`: a branch that ends in a linear layer joins its residual stream.
///
/// # Shapes
/// `x`: [.., in], `w_oi`: [out, in], `residual`: [.., out] → [.., out]
///
/// # Panics
/// If the shapes do not fit.
pub fn linear_residual<const D: usize>(
    x: Tensor<D>,
    w_oi: Tensor<2>,
    residual: Tensor<D>,
    multiplier: f64,
) -> Tensor<D> {
    let [out, d_in] = w_oi.dims();
    assert_shape!(x, [.., d_in]);
    let mut expected = x.dims();
    expected[D - 1] = out;
    assert_eq!(residual.dims(), expected, "shape of the residual stream");
    dispatch!(flex, cube: &x => linear_residual(x, w_oi, residual, multiplier))
}

/// `shape` with another last dimension.
#[cfg(any(feature = "flex", feature = "cube"))]
fn with_width(mut shape: burn::tensor::Shape, width: usize) -> burn::tensor::Shape {
    if let Some(last) = shape.last_mut() {
        *last = width;
    }
    shape
}
