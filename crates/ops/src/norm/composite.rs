//! x → x / rms(x) · w, and the same behind a gate

use burn::tensor::{Tensor, activation::silu};

/// Composite of [`crate::rms_norm`].
///
/// # Shapes
/// `x`: [.., d], `w_d`: `[d]` → [.., d]
pub fn rms_norm<const D: usize>(x: Tensor<D>, w_d: Tensor<1>, eps: f64) -> Tensor<D> {
    normalise(x, eps) * w_d.unsqueeze()
}

/// Gate, then RMSNorm within each of `n_groups` groups of channels: `rms_norm(y · silu(z))`
/// (Mamba-2, arXiv 2405.21060 §6.1; gate before norm).
///
/// # Shapes
/// `y`, `z`: [b, l, i], `w_i`: `[i]` → [b, l, i]
pub fn gated_rms_norm(y_bli: Tensor<3>, z_bli: Tensor<3>, w_i: Tensor<1>, n_groups: usize, eps: f64) -> Tensor<3> {
    let [b, l, i] = y_bli.dims();
    let gated = y_bli * silu(z_bli);
    let grouped = normalise(gated.reshape([b, l, n_groups, i / n_groups]), eps);
    grouped.reshape([b, l, i]) * w_i.unsqueeze()
}

fn normalise<const D: usize>(x: Tensor<D>, eps: f64) -> Tensor<D> {
    let mean_square = x.clone().square().mean_dim(D - 1);
    x * mean_square.add_scalar(eps).sqrt().recip()
}
