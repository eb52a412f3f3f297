//! Operators of the model on Burn tensors, one folder or file each.
//!
//! An operator has a [`composite`] of plain tensor operations, which any device runs, and may have fused forms: a
//! `function` with a backward pass of its own, over slices on the device `flex`, over kernels of CubeCL on `wgpu` and
//! `cuda`. Tests hold them to the composite. `mamba2/` is the pattern: `mod.rs` with shapes and dispatch, `composite.rs`,
//! and `flex.rs` and `cube.rs` where a device has a form of its own, all with functions of one name and signature.
//!
//! Shape letters, in argument suffixes too: `b` batch, `l` position, `t` tokens (b·l), `d` d_model, `i` d_inner,
//! `h` SSM heads, `p` d_head, `n` d_state, `g` groups, `c` chunk, `q` position in chunk, `e` experts, `f` d_expert,
//! `v` vocabulary.

mod adamw;
mod attention;
mod average;
pub mod composite;
mod cross_entropy;
#[cfg(feature = "cube")]
mod cube;
pub mod device;
mod dispatch;
mod distillation;
mod dropout;
mod embedding;
#[cfg(feature = "flex")]
mod flex;
#[cfg(any(feature = "flex", feature = "cube"))]
mod function;
mod gradients;
mod host;
mod linear;
mod mamba2;
mod mean;
mod mixture;
mod muon;
mod norm;
mod peak;
mod precision;
mod recompute;
mod scoped;

pub use adamw::{AdamW, AdamWParameter, Moments, adamw};
pub use attention::{AttentionShape, PastKeysValues, Rope, causal_attention};
pub use average::lerp;
pub use cross_entropy::head_cross_entropy;
pub use distillation::{DistillationScalings, head_distillation};
pub use dropout::dropout;
pub use embedding::embedding;
pub use gradients::{Norm, add_gradients, gradient_norm};
pub use host::{HostValues, host_values};
pub use linear::{linear, linear_residual};
pub use mamba2::{Mamba2Shape, Mamba2State, Mamba2Weights, mamba2};
pub use mean::mean;
pub use mixture::{MixtureWeights, MlpWeights, Routing, mixture, mlp, router_losses};
pub use muon::{Muon, MuonParameter, muon};
pub use norm::rms_norm;
pub use peak::measure_peak;
pub use precision::with_precision;
pub use recompute::{Recomputable, recompute};

/// Bytes that fused operators hold for backward passes which have not run yet, in the whole process. Storage that
/// several of them saved counts once, weights do not count.
pub fn saved_bytes() -> usize {
    #[cfg(feature = "flex")]
    return flex::ledger::bytes();
    #[cfg(not(feature = "flex"))]
    0
}
