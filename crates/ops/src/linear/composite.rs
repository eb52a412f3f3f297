//! x, w → x · wᵀ

use burn::tensor::Tensor;

/// Composite of [`crate::linear`].
///
/// # Shapes
/// `x`: [.., in], `w_oi`: [out, in] → [.., out]
pub fn linear<const D: usize>(x: Tensor<D>, w_oi: Tensor<2>) -> Tensor<D> {
    let mut dims = x.dims();
    let [out, _] = w_oi.dims();
    let d_in = dims[D - 1];
    let rows = dims[..D - 1].iter().product::<usize>();
    dims[D - 1] = out;
    x.reshape([rows, d_in]).matmul(w_oi.transpose()).reshape(dims)
}

/// Composite of [`crate::linear_residual`].
///
/// # Shapes
/// `x`: [.., in], `w_oi`: [out, in], `residual`: [.., out] → [.., out]
pub fn linear_residual<const D: usize>(
    x: Tensor<D>,
    w_oi: Tensor<2>,
    residual: Tensor<D>,
    multiplier: f64,
) -> Tensor<D> {
    residual + linear(x, w_oi).mul_scalar(multiplier)
}
