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
    catalog::{Id, Missing, Status},
    models::Models,
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
    /// As vLLM tells it: the longest context; null where a text has no end, or the model is not loaded.
    max_model_len: Option<usize>,
}

impl Model {
    /// The name alone is that of the highest version.
    fn of(Status { id: Id { name, version }, engine, .. }: Status, models: &Models) -> Self {
        let is_latest = models.versions(&name).last() == Some(&version);
        let max_model_len = engine.and_then(|engine| engine.loaded().model.context_len());
        let id = if is_latest { name } else { format!("{name}:{version}") };
        Self { id, object: "model", created: 0, owned_by: "itera", max_model_len }
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
    let all = app.models().all().into_iter();
    Json(List { object: "list", data: all.map(|status| Model::of(status, app.models())).collect() })
}

pub(super) async fn model(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<impl Serialize>, Refusal> {
    let Path(name) = name.map_err(|problem| Refusal::bad(problem.body_text()))?;
    let missing = |missing| Refusal::missing(Some(&name), missing);
    let id = app.models().find(Some(&name), None).map_err(missing)?;
    let status = app.models().status(&id).ok_or(Missing::Away).map_err(missing)?;
    Ok(Json(Model::of(status, app.models())))
}
