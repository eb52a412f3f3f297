//! Operators of the model on Burn tensors, one file each.
//!
//! Every operator here is a composite of plain tensor operations: it runs on any device Burn has, its gradient comes
//! from autodiff, and it is what a fused version of the same name will be tested against.
//!
//! Shape letters, in argument suffixes too: `b` batch, `l` position, `t` tokens (b·l), `d` d_model, `i` d_inner,
//! `h` SSM heads, `p` d_head, `n` d_state, `g` groups, `c` chunk, `q` position in chunk, `e` experts, `f` d_expert,
//! `v` vocabulary.

mod attention;
mod conv;
mod cross_entropy;
pub mod device;
mod linear;
mod moe;
mod norm;
mod scan;
mod swiglu;

pub use attention::{AttentionShape, Rope, causal_attention};
pub use conv::causal_conv_silu;
pub use cross_entropy::head_cross_entropy;
pub use linear::linear;
pub use moe::{Routing, experts, route};
pub use norm::{gated_rms_norm, rms_norm};
pub use scan::{ScanInput, chunked_scan, recurrent_step};
pub use swiglu::swiglu;
