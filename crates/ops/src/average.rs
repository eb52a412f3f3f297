//! two lists of tensors → the points between them, tensor by tensor

use burn::tensor::{Tensor, assert_shape};

use crate::dispatch::dispatch;

/// `from + share·(to − from)`, tensor by tensor; all are flat, without autodiff. The fused form writes into the memory of
/// `from` where nobody else holds it.
///
/// # Panics
/// If the two differ in number or in the length of a tensor.
pub fn lerp(from: Vec<Tensor<1>>, to: Vec<Tensor<1>>, share: f64) -> Vec<Tensor<1>> {
    assert_eq!(from.len(), to.len(), "tensors to go between");
    for (from, to) in from.iter().zip(&to) {
        let [len] = from.dims();
        assert_shape!(to, [len]);
    }
    if from.is_empty() {
        return from;
    }
    dispatch!(flex: &from[0] => lerp(from, to, share))
}

pub(crate) mod composite {
    use burn::tensor::Tensor;

    /// Composite of [`crate::lerp`].
    pub fn lerp(from: Vec<Tensor<1>>, to: Vec<Tensor<1>>, share: f64) -> Vec<Tensor<1>> {
        from.into_iter().zip(to).map(|(from, to)| from.clone() + (to - from).mul_scalar(share)).collect()
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::tensor::Tensor;
    use itera_kernels::vector;

    use crate::flex::array::{array, tensor};

    pub(super) fn lerp(from: Vec<Tensor<1>>, to: Vec<Tensor<1>>, share: f64) -> Vec<Tensor<1>> {
        let between = |(from, to)| {
            let (mut from, to) = (array::<1>(from), array::<1>(to));
            vector::lerp(from.values_mut(), &to, share as f32);
            tensor(from)
        };
        from.into_iter().zip(to).map(between).collect()
    }
}
