//! Inference without a training framework: the second implementation of the model, from the same equations.
//!
//! ```text
//! directory or GGUF ─open─▶ Model ─ prefill(state, prompt) ─▶ logits ─ choose ─▶ token ─ step(state, token) ─▶ logits …
//!                        (mapped, packed)  │                                       │
//!                                          ├─────── State: clone, save, load ──────┤
//!                                          └──── Text, Batch: all of it at once ───┘
//! directory of the BERT family ─open─▶ Encoder ─ embed(texts) ─▶ a vector each
//! ```
//!
//! Weights are used where the file has them, in the form it has them. A [`State`] is all that a text leaves behind; the
//! buffers on the way are a [`Workspace`], made once. A [`Text`] is an iterator of tokens; a [`Batch`] writes many of them
//! together, each with the bits that it has alone.
//!
//! ```no_run
//! use itera_runtime::{Batch, Model, Sampler, SamplingConfig, Text};
//!
//! let model = Model::open("tiny.gguf")?;
//! let tokenizer = model.tokenizer()?;
//! let text = |prompt, index| {
//!     let sampler = Sampler::new(&SamplingConfig::default(), index);
//!     Ok::<_, itera_runtime::RuntimeError>(Text::new(&model, &tokenizer, prompt)?.with_sampler(sampler).with_max_tokens(60))
//! };
//! for completion in Batch::new(&model).complete(vec![text("The cat", 0)?, text("The dog", 1)?]) {
//!     println!("{}", completion.text);
//! }
//! # Ok::<(), itera_runtime::RuntimeError>(())
//! ```

mod attention;
mod batch;
mod buffer;
mod embed;
mod encoder;
mod error;
mod ffn;
mod forward;
mod linear;
mod logprobs;
mod mamba;
mod measure;
mod model;
mod network;
mod past;
mod rerank;
pub mod sampling;
mod score;
mod state;
mod stop;
mod text;
mod workspace;

pub use batch::Batch;
pub use embed::Embedding;
pub use encoder::Encoder;
pub use error::{Result, RuntimeError, StateError};
pub use itera_formats::hf::Pooling;
pub use itera_kernels::matvec::Activations;
pub use logprobs::TokenLogprob;
pub use measure::{StepCost, Timing};
pub use model::{Model, OpenOptions};
pub use sampling::{Sampler, SamplingConfig};
pub use score::{DocumentScore, Evaluation, Score, Windows};
pub use state::State;
pub use text::{Completion, FinishReason, Text, Usage};
pub use workspace::Workspace;
