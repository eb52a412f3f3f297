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
pub mod buffers;
pub mod composite;
mod conv;
mod cross_entropy;
pub mod device;
#[cfg(feature = "flex")]
mod function;
#[cfg(feature = "flex")]
mod kept;
mod linear;
mod moe;
mod norm;
mod saved;
mod scan;
mod swiglu;

pub use attention::{AttentionShape, Rope, causal_attention};
pub use conv::causal_conv_silu;
pub use cross_entropy::head_cross_entropy;
pub use linear::linear;
pub use moe::{Routing, experts, route};
pub use norm::{gated_rms_norm, rms_norm};
pub use saved::{SavedDtype, saved_bytes, saved_dtype, with_saved_dtype};
pub use scan::{ScanInput, chunked_scan, recurrent_step};
pub use swiglu::swiglu;

/// The buffers and the count of what is saved are one a process, and a harness may run tests as threads of one:
/// a test that looks at them holds this.
#[cfg(test)]
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    buffers::clear();
    guard
}
