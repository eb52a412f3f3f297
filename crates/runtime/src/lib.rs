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
//!
//! ```no_run
//! use itera_runtime::{Model, Sampler, SamplingConfig};
//!
//! let model = Model::open("tiny.gguf")?;
//! let tokenizer = model.tokenizer()?;
//! let mut text: Vec<u32> = vec![tokenizer.bos().0];
//! text.extend(tokenizer.encode("Once upon a time").iter().map(|id| id.0));
//!
//! let (mut state, mut work) = (model.new_state(), model.workspace());
//! let mut sampler = Sampler::new(&SamplingConfig::default(), 0);
//! text.push(sampler.choose(model.prefill(&mut state, &text, &mut work)?, &text));
//! let fork = state.clone(); // another text that begins as this one
//! text.push(sampler.choose(model.step(&mut state, text[text.len() - 1], &mut work)?, &text));
//! # Ok::<(), itera_runtime::RuntimeError>(())
//! ```

mod attention;
mod batch;
mod error;
mod ffn;
mod forward;
mod generate;
mod linear;
mod mamba;
mod measure;
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
pub use measure::{StepCost, Timing};
pub use model::Model;
pub use sampling::{Sampler, SamplingConfig};
pub use score::Score;
pub use state::State;
pub use workspace::Workspace;
