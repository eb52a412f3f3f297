//! `GET /props`, `GET /slots`

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde_json::{Value, json};

use crate::{app::App, llama::settings, refusal::Refusal, specials::spelling, tokens::Which};

/// What a model is, and how it is asked if it is not told otherwise.
pub(crate) async fn props(
    State(app): State<Arc<App>>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let engine = Which::engine(query, &app)?;
    let loaded = engine.loaded();
    let name = |id| spelling(&loaded.tokenizer, id);
    Ok(Json(json!({
        "default_generation_settings": {"n_ctx": loaded.model.context_len(), "params": settings::usual()},
        "total_slots": engine.room(),
        "model_alias": loaded.name,
        "model_path": loaded.name,
        "modalities": {"vision": false, "audio": false},
        "chat_template": loaded.template.text(),
        "bos_token": name(loaded.tokenizer.bos()),
        "eos_token": name(loaded.tokenizer.eos()),
        "build_info": concat!("itera ", env!("CARGO_PKG_VERSION")),
        "system_fingerprint": loaded.fingerprint,
    })))
}

/// Places for texts that are written at once. A text has none of its own: as many as there are texts are in use.
pub(crate) async fn slots(
    State(app): State<Arc<App>>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let engine = Which::engine(query, &app)?;
    let (running, n_ctx) = (engine.running(), engine.loaded().model.context_len());
    let slot = |id: usize| json!({"id": id, "n_ctx": n_ctx, "speculative": false, "is_processing": id < running});
    Ok(Json((0..engine.room()).map(slot).collect()))
}
