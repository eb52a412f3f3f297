//! What those ask who watch a server: whether it is there, which it is, what it did.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::app::App;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

/// `GET /health`: 200 where every engine makes progress or has nothing to do, 503 where one is stuck or gone.
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    match app.is_ready() {
        true => Json(Health { status: "ok" }).into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "engine stuck" })).into_response(),
    }
}

/// `GET /version`: of this program.
pub(crate) async fn version() -> Json<impl Serialize> {
    Json(Version { version: env!("CARGO_PKG_VERSION") })
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match app.metrics().to_text() {
        Ok(text) => ([(CONTENT_TYPE, open_metrics)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Count the response to every request.
pub(crate) async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    app.metrics().responded(response.status());
    response
}
