//! Post-training quantisation of any Hugging Face directory, whatever its architecture, in a fixed amount of memory.
//!
//! ```text
//! headers of all shards ─ Selection: what stays and why ─▶ Plan: every tensor, every output byte
//! Plan ─ read rows, round them, write them in place ─▶ OUT.itera-tmp ─▶ OUT, whole or not at all
//! rows of both ─ compare ─▶ what was kept byte for byte, how far the rest is off
//! ```
//!
//! No model is built, so no architecture needs to be known: a matrix is packed by what its name says it is. Layouts, names and
//! bytes are those of compressed-tensors, as llm-compressor's `model_free_ptq` (0.14) writes them, or ModelOpt's.

mod compare;
mod config;
mod copy;
mod error;
mod fused;
mod method;
mod pack;
mod plan;
mod rows;
mod selection;
mod source;
mod write;

pub use compare::{Block, Change, Compared, Comparison, TensorError, compare};
pub use error::{PtqError, Result};
pub use method::{Fp8Scales, Layout, Method, Rounding};
pub use plan::{Plan, PlannedTensor, Stored};
pub use selection::{Kept, Selection};
pub use write::{Event, quantize};
