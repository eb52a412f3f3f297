//! All that is served, and `GET /openapi.json`, which tells of it.

use std::sync::LazyLock;

use axum::{http::header::CONTENT_TYPE, response::IntoResponse};
use serde_json::json;

use crate::{
    llama, openai,
    openapi::{Operation, Routes},
    page, probes, tokens, v2,
};

/// The document. It is the same for all servers of a version.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| routes().document().to_string());

/// The routes of all surfaces.
pub(crate) fn routes() -> Routes {
    let operation = Operation::new("Tell of all routes").answers(json!({"type": "object"}));
    let routes = Routes::new().get("/openapi.json", document, operation);
    let surfaces = [page::routes, probes::routes, tokens::routes, openai::routes, llama::routes, v2::routes];
    surfaces.into_iter().fold(routes, |routes, surface| surface(routes))
}

async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
