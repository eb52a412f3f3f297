//! `GET /v1/models`, `GET /v1/models/{model}`

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    app::App,
    engine::Engine,
    openapi::schema::{count, exactly, list, one_of, or_null, text},
    refusal::Refusal,
};

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize)]
struct Model {
    id: String,
    object: &'static str,
    /// Models do not say when they were made.
    created: u64,
    owned_by: &'static str,
    /// As vLLM tells it: the longest context; null where a text has no end.
    max_model_len: Option<usize>,
}

impl Model {
    fn of(engine: &Engine) -> Self {
        let loaded = engine.loaded();
        let max_model_len = loaded.model.context_len();
        Self { id: loaded.name.clone(), object: "model", created: 0, owned_by: "itera", max_model_len }
    }
}

/// What [`model`] answers.
pub(super) fn schema() -> Value {
    exactly(vec![
        ("id", text()),
        ("object", one_of(&["model"])),
        ("created", count()),
        ("owned_by", text()),
        ("max_model_len", or_null(count())),
    ])
}

/// What [`models`] answers.
pub(super) fn list_schema() -> Value {
    exactly(vec![("object", one_of(&["list"])), ("data", list(schema()))])
}

pub(super) async fn models(State(app): State<Arc<App>>) -> Json<impl Serialize> {
    Json(List { object: "list", data: app.engines().iter().map(Model::of).collect() })
}

pub(super) async fn model(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<impl Serialize>, Refusal> {
    let Path(name) = name.map_err(|problem| Refusal::bad(problem.body_text()))?;
    Ok(Json(Model::of(app.engine(Some(&name))?)))
}
