//! x, weights → forward → y, side │ backward: forward again → gradients
//!
//! Gradient checkpointing (arXiv 1604.06174): of a part of a model only its input stays for the backward pass. That runs
//! the part a second time, on leaves of a graph of its own, and goes back through that graph.

mod composite;
#[cfg(feature = "flex")]
mod flex;
mod types;

use burn::tensor::Tensor;

pub use types::Recomputable;

use crate::dispatch::dispatch;

/// `forward(x, weights)`, of which only `x` is saved for the backward pass: that runs `forward` again.
///
/// `weights` are flat; `forward` gives them their shapes. It is a function of its arguments alone, gives the same bits
/// each time, and sees no other tensor with a gradient. Outputs are those of a plain call, bit for bit, and so are
/// gradients where activations are saved in f32. What is computed again is always saved in f32: it lives for one call at
/// a time, and copies in another type would stand beside it. A device without fused operators makes the plain call.
///
/// # Shapes
/// `x`: [b, l, d] → y and side of any shape
pub fn recompute<T: Send + 'static>(
    x: Tensor<3>,
    weights: Vec<Tensor<1>>,
    forward: impl Fn(Tensor<3>, Vec<Tensor<1>>) -> Recomputable<T> + Send + 'static,
) -> Recomputable<T> {
    dispatch!(flex: &x => recompute(x, weights, forward))
}
