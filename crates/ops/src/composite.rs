//! The operators composed of plain tensor operations: any device runs them, their gradient comes from autodiff.
//!
//! They are what devices without a fused operator run, and the oracle of every fused operator of the same name. The
//! smaller ones (convolution, scan, gated norm, SwiGLU) are parts that a fused operator does in one go. They hold more
//! in memory than their fused forms: attention and head all their scores, the mixture every expert on every token.

pub use crate::{
    adamw::composite::adamw,
    attention::composite::causal_attention,
    average::composite::lerp,
    cross_entropy::composite::head_cross_entropy,
    dispatch::only,
    distillation::composite::head_distillation,
    dropout::composite::dropout,
    embedding::composite::embedding,
    gradients::composite::{add_gradients, gradient_norm},
    linear::composite::{linear, linear_residual},
    mamba2::{
        composite::{causal_conv_silu, mamba2, mamba2_step},
        scan::{ScanInput, chunked_scan, recurrent_step},
    },
    mixture::composite::{experts, mixture, mlp, route, router_losses, swiglu},
    muon::composite::muon,
    norm::composite::{gated_rms_norm, rms_norm},
};
