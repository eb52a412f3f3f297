//! x → x / rms(x) · w

pub(crate) mod composite;
#[cfg(feature = "cube")]
pub(crate) mod cube;
#[cfg(feature = "flex")]
mod flex;

use burn::tensor::{Tensor, assert_shape};

use crate::dispatch::dispatch;

/// RMSNorm over the last dimension (arXiv 1910.07467 eq. 4): `y = x / √(mean(x²) + ε) · w`.
///
/// # Shapes
/// `x`: [.., d], `w_d`: `[d]` → [.., d]
///
/// # Panics
/// If the shapes do not fit.
pub fn rms_norm<const D: usize>(x: Tensor<D>, w_d: Tensor<1>, eps: f64) -> Tensor<D> {
    let [d] = w_d.dims();
    assert_shape!(x, [.., d]);
    dispatch!(flex, cube: &x => rms_norm(x, w_d, eps))
}
