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
mod form;
mod logprobs;
pub(crate) mod message;
mod models;

use crate::{
    feedback,
    openai::form::Form,
    openapi::{Operation, Routes},
};

/// The routes of this surface.
pub(crate) fn routes(routes: Routes) -> Routes {
    let completions =
        answer::operation("Continue prompts", Form::Completion, "CompletionRequest", completions::schema());
    let chat = answer::operation("Say what the assistant says", Form::Chat, "ChatRequest", chat::schema());
    routes
        .get("/v1/models", models::models, Operation::new("List the models").answers(models::list_schema()))
        .get("/v1/models/{*model}", models::model, Operation::new("Tell of a model").answers(models::schema()))
        .post("/v1/completions", completions::completions, completions)
        .post("/v1/chat/completions", chat::chat, chat)
        .post("/v1/embeddings", embeddings::embeddings, embeddings::operation())
        .post("/v1/feedback", feedback::feedback, feedback::operation())
}
