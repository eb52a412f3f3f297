//! [gate | up] → silu(gate) · up

use burn::tensor::{Tensor, activation::silu};

/// SwiGLU (arXiv 2002.05202) on a fused projection whose first half is the gate.
///
/// # Shapes
/// `gate_up`: [.., 2·f] → [.., f]
pub fn swiglu<const D: usize>(gate_up: Tensor<D>) -> Tensor<D> {
    let f = gate_up.dims()[D - 1] / 2;
    silu(gate_up.clone().narrow(D - 1, 0, f)) * gate_up.narrow(D - 1, f, f)
}
