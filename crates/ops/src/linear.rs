//! x, w → x · wᵀ

use burn::tensor::Tensor;

/// `x · wᵀ`: a linear layer without bias, its weight stored row by output as on disk.
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
