//! OpenAI's API: `/v1/models`, `/v1/completions`.

mod choice;
mod completions;
mod events;
mod logprobs;
mod models;
mod prompt;

pub(crate) use completions::completions;
pub(crate) use models::{model, models};
