//! Operators of the model on Burn tensors, one file each.
//!
//! An operator has two forms. On the device `flex` it is fused: a `function` with a backward pass of its own over
//! slices. Everywhere else it is a [`composite`] of plain tensor operations, which is also what tests hold the fused
//! form to.
//!
//! Shape letters, in argument suffixes too: `b` batch, `l` position, `t` tokens (b·l), `d` d_model, `i` d_inner,
//! `h` SSM heads, `p` d_head, `n` d_state, `g` groups, `c` chunk, `q` position in chunk, `e` experts, `f` d_expert,
//! `v` vocabulary.

#[cfg(feature = "flex")]
mod array;
mod attention;
#[cfg(feature = "flex")]
mod buffers;
pub mod composite;
mod cross_entropy;
pub mod device;
mod distillation;
mod embedding;
#[cfg(feature = "flex")]
mod function;
#[cfg(feature = "flex")]
mod kept;
#[cfg(feature = "flex")]
mod ledger;
mod linear;
mod mamba2;
mod mixture;
mod norm;
mod precision;
mod recompute;
mod scoped;

pub use attention::{AttentionShape, PastKeysValues, Rope, causal_attention};
pub use cross_entropy::head_cross_entropy;
pub use distillation::{DistillationShape, head_distillation};
pub use embedding::embedding;
pub use linear::{linear, linear_residual};
pub use mamba2::{Mamba2Shape, Mamba2State, Mamba2Weights, mamba2};
pub use mixture::{MixtureWeights, MlpWeights, Routing, mixture, mlp, router_losses};
pub use norm::rms_norm;
pub use precision::{Precision, with_precision};
pub use recompute::{MAX_WEIGHTS, Recomputable, recompute};

/// Bytes that fused operators hold for backward passes which have not run yet, in the whole process. Storage that
/// several of them saved counts once, weights do not count.
pub fn saved_bytes() -> usize {
    #[cfg(feature = "flex")]
    return ledger::bytes();
    #[cfg(not(feature = "flex"))]
    0
}

/// Let a later operator have the memory of `values` that are not needed any more, as gradients after their step.
pub fn recycle(values: Vec<f32>) {
    #[cfg(feature = "flex")]
    buffers::give(values);
    #[cfg(not(feature = "flex"))]
    drop(values);
}

/// The values of a tensor of token ids, row by row.
#[cfg(feature = "flex")]
fn ids<const D: usize>(ids: burn::tensor::Tensor<D, burn::tensor::Int>) -> Vec<i32> {
    ids.into_data().convert::<i32>().try_into_vec().expect("converted to i32")
}

/// The buffers and the count of what is saved are one a process, and a harness may run tests as threads of one:
/// a test that looks at them holds this.
#[cfg(all(test, feature = "flex"))]
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    buffers::clear();
    guard
}
