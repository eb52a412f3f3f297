//! `GET /props`, `GET /slots`

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde_json::{Value, json};

use crate::{
    app::App,
    llama::settings,
    openapi::{
        Operation,
        schema::{boolean, count, exactly, list, only, or_null, text},
    },
    refusal::Refusal,
    specials::spelling,
    tokens::Which,
};

/// What [`props`] answers.
pub(super) fn props_operation() -> Operation {
    let (no, params) = (|| only(&[json!(false)]), exactly(settings::told_properties()));
    Which::asks(Operation::new("Tell of a model, and how it is asked unless it is told otherwise")).answers(exactly(
        vec![
            ("default_generation_settings", exactly(vec![("n_ctx", or_null(count())), ("params", params)])),
            ("total_slots", count()),
            ("model_alias", text()),
            ("model_path", text()),
            ("modalities", exactly(vec![("vision", no()), ("audio", no())])),
            ("chat_template", text()),
            ("bos_token", text()),
            ("eos_token", text()),
            ("build_info", text()),
            ("system_fingerprint", text()),
        ],
    ))
}

/// What [`slots`] answers.
pub(super) fn slots_operation() -> Operation {
    let slot = vec![
        ("id", count()),
        ("n_ctx", or_null(count())),
        ("speculative", only(&[json!(false)])),
        ("is_processing", boolean()),
    ];
    Which::asks(Operation::new("Tell how many texts are written")).answers(list(exactly(slot)))
}

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
