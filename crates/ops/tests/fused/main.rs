//! Fused operators against their composites: outputs, states and gradients, for every choice of inputs that are tracked
//! and of outputs that the loss reads, at random and awkward shapes.

mod attention;
mod case;
mod head;
mod linear;
mod mamba2;
mod mixture;
