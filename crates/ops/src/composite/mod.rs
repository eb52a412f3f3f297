//! The operators composed of plain tensor operations: any device runs them, their gradient comes from autodiff.
//!
//! They are what devices without a fused operator run, and the oracle of every fused operator of the same name.

mod norm;
mod swiglu;

pub use norm::{gated_rms_norm, rms_norm};
pub use swiglu::swiglu;
