//! numbers → their mean

use burn::tensor::Tensor;

use crate::dispatch::dispatch;

/// The mean of `x`, added in an order that its length alone decides, on every device with fused operators.
///
/// # Shapes
/// `x`: `[n]` → `[1]`
pub fn mean(x: Tensor<1>) -> Tensor<1> {
    dispatch!(cube: &x => mean(x))
}

mod composite {
    use burn::tensor::Tensor;

    pub(super) fn mean(x: Tensor<1>) -> Tensor<1> {
        x.mean()
    }
}

#[cfg(feature = "cube")]
mod cube {
    use burn::tensor::Tensor;

    /// The mean over all elements is added by atomics there, in whatever order; that over a dimension is not.
    pub(super) fn mean(x: Tensor<1>) -> Tensor<1> {
        x.mean_dim(0)
    }
}
