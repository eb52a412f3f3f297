//! The slow twins: plain loops in f64 that follow the equations word for word, one file a family of kernels.
//!
//! Tests hold every fast kernel against the function of the same name here.

mod adamw;
mod attention;
mod bf16;
mod conv;
mod cross_entropy;
mod distillation;
mod embedding;
mod gated_norm;
mod gelu;
mod gemm;
mod layer_norm;
mod mlp;
mod moe;
mod muon;
mod norm;
mod rms_norm;
mod scan;
mod silu;
mod vector;

pub use adamw::adamw_step;
pub use attention::{attention, attention_backward, attention_whole, keys_and_values};
pub use bf16::bf16;
pub use conv::{ConvGradients, ConvShape, causal_conv_silu, causal_conv_silu_backward};
pub use cross_entropy::{head_cross_entropy, head_cross_entropy_backward};
pub use distillation::distillation;
pub use embedding::{embedding, embedding_backward};
pub use gated_norm::{gated_norm, gated_norm_backward};
pub use gelu::gelu;
pub use gemm::gemm;
pub use layer_norm::layer_norm;
pub use mlp::{Mlp, MlpGradients, mlp, mlp_backward};
pub use moe::{ExpertGradients, Routed, experts, experts_backward, route, route_backward, router_losses};
pub use muon::muon_step;
pub use norm::sum_of_squares;
pub use rms_norm::{rms_norm, rms_norm_backward};
pub use scan::{ScanInput, scan, scan_backward};
pub(crate) use silu::{silu, silu_derivative};
pub use vector::{add, lerp, scale};
