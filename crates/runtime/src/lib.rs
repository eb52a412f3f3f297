//! Inference without a training framework: the second implementation of the model, from the same equations.
//!
//! ```text
//! directory or GGUF ─open─▶ Model ─ prefill(state, prompt) ─▶ logits ─ choose ─▶ token ─ step(state, token) ─▶ logits …
//!                        (mapped, packed)  │                                       │
//!                                          └─────── State: clone, save, load ──────┘
//! ```
//!
//! Weights are used where the file has them, in the form it has them. A [`State`] is all that a text leaves behind; the
//! buffers on the way are a [`Workspace`], made once.

mod attention;
mod batch;
mod error;
mod ffn;
mod forward;
mod generate;
mod linear;
mod mamba;
mod model;
mod network;
pub mod sampling;
mod score;
mod state;
mod stop;
mod workspace;

pub use batch::BatchWorkspace;
pub use error::{Result, RuntimeError, StateError};
pub use generate::{Completion, CompletionConfig, Continuation, Finish};
pub use itera_kernels::matvec::Precision;
pub use model::Model;
pub use sampling::{Sampler, SamplingConfig};
pub use score::Score;
pub use state::State;
pub use workspace::Workspace;
