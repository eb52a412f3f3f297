//! OpenAI's API: `/v1/models`, `/v1/completions`, `/v1/chat/completions`, `/v1/embeddings`.
//!
//! ```text
//! completions: prompts ──────────────▶ tokens ─┐              ┌─ the whole answer
//!                                              ├▶ Asked ─▶ jobs
//! chat: messages ─ template of the model ──────┘              └─ chunks of it
//! ```

mod answer;
mod chat;
mod choice;
mod common;
mod completions;
mod embeddings;
mod feedback;
mod form;
mod logprobs;
mod message;
mod models;

pub(crate) use chat::chat;
pub(crate) use completions::completions;
pub(crate) use embeddings::embeddings;
pub(crate) use feedback::feedback;
pub(crate) use models::{model, models};
