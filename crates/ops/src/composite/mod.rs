//! The operators composed of plain tensor operations: any device runs them, their gradient comes from autodiff.
//!
//! They are what devices without a fused operator run, and the oracle of every fused operator of the same name. The
//! smaller ones (convolution, scan, gated norm, SwiGLU) are the parts that a fused operator does in one go.

use std::cell::Cell;

use crate::scoped::scoped;

mod attention;
mod conv;
mod cross_entropy;
mod distillation;
mod embedding;
mod linear;
mod mamba2;
mod mixture;
mod norm;
mod scan;
mod swiglu;

pub use attention::causal_attention;
pub use conv::causal_conv_silu;
pub use cross_entropy::head_cross_entropy;
pub use distillation::head_distillation;
pub use embedding::embedding;
pub use linear::{linear, linear_residual};
pub use mamba2::{mamba2, mamba2_step};
pub use mixture::{experts, mixture, mlp, route, router_losses};
pub use norm::{gated_rms_norm, rms_norm};
pub use scan::{ScanInput, chunked_scan, recurrent_step};
pub use swiglu::swiglu;

thread_local! {
    static ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Run `f` with the composite of every operator in the place of its fused form, on any device: for tests and
/// comparisons.
///
/// It holds for the operators that `f` calls on this thread; their backward pass may run after it.
pub fn only<T>(f: impl FnOnce() -> T) -> T {
    scoped(&ONLY, true, f)
}

/// Whether this thread is inside [`only`].
#[cfg(feature = "flex")]
pub(crate) fn is_only() -> bool {
    ONLY.get()
}
