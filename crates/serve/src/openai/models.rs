//! `GET /v1/models`, `GET /v1/models/{model}`

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;

use crate::{app::App, engine::Engine, refusal::Refusal};

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

pub(crate) async fn models(State(app): State<Arc<App>>) -> Json<impl Serialize> {
    Json(List { object: "list", data: app.engines().iter().map(Model::of).collect() })
}

pub(crate) async fn model(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<impl Serialize>, Refusal> {
    Ok(Json(Model::of(app.engine(Some(&name))?)))
}
