//! matrices, gradients, momentum → one Muon step → matrices, momentum

pub(crate) mod composite;
#[cfg(feature = "flex")]
mod flex;
mod types;

use burn::tensor::{Tensor, assert_shape};

pub use types::{Muon, MuonParameter};

use crate::dispatch::dispatch;

/// A step of Muon over all `parameters` (K. Jordan, 2024; with weight decay and the factor that lets it share a learning
/// rate with AdamW: arXiv 2502.16982, eqs. 1–4): weights and momentum in the order of `parameters`.
///
/// ```text
/// g = gradient_scale · gradient     m = β·m + (1 − β)·g     u = β·m + (1 − β)·g
/// w = w·(1 − lr·weight_decay) − lr · 0.2·√max(rows, cols) · polar(u)            for each matrix of a weight
/// ```
///
/// polar(U·Σ·Vᵀ) = U·Vᵀ within 15 %, by five steps `X = a·X + b·(X·Xᵀ)·X + c·(X·Xᵀ)²·X` from u/‖u‖, with the
/// coefficients of Polar Express (arXiv 2505.16932). Their products have the precision of
/// [`with_precision`](crate::with_precision).
///
/// Everything stays on its device. The fused form writes into the memory of weights and momentum where nobody else holds
/// it, and gives that of the gradients to later operators.
///
/// # Panics
/// If the tensors of a parameter differ in length, or its matrices do not share it into rows of one width.
pub fn muon(parameters: Vec<MuonParameter>, gradient_scale: f32, hyper: &Muon) -> Vec<(Tensor<1>, Tensor<1>)> {
    for MuonParameter { weight, gradient, momentum, matrices } in &parameters {
        let [len] = weight.dims();
        assert_shape!(gradient, [len]);
        assert_shape!(momentum, [len]);
        let rows: usize = matrices.iter().sum();
        assert!(rows > 0 && len.is_multiple_of(rows), "{len} values in {rows} rows");
    }
    if parameters.is_empty() {
        return vec![];
    }
    dispatch!(flex: &parameters[0].weight => muon(parameters, gradient_scale, hyper))
}
