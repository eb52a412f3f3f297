//! What those ask who watch a server: whether it is there, which it is, what it did.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    app::App,
    openapi::{
        Operation, Routes,
        schema::{exactly, one_of, text},
    },
};

/// The routes of this file.
pub(crate) fn routes(routes: Routes) -> Routes {
    let status = |word: &str| exactly(vec![("status", one_of(&[word]))]);
    let health = Operation::new("Tell whether every engine makes progress or has nothing to do")
        .answers(status(OK))
        .answers_with(StatusCode::SERVICE_UNAVAILABLE, status(STUCK));
    let version = Operation::new("Tell the version of the program").answers(exactly(vec![("version", text())]));
    routes
        .get("/metrics", metrics, Operation::new("Tell what was done, for Prometheus").answers_text(OPEN_METRICS))
        .get("/health", self::health, health)
        .get("/version", self::version, version)
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const OK: &str = "ok";
const STUCK: &str = "engine stuck";

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

/// `GET /health`: 200 where every engine makes progress or has nothing to do, 503 where one is stuck or gone.
async fn health(State(app): State<Arc<App>>) -> Response {
    match app.is_ready() {
        true => Json(Health { status: OK }).into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: STUCK })).into_response(),
    }
}

/// `GET /version`: of this program.
async fn version() -> Json<impl Serialize> {
    Json(Version { version: env!("CARGO_PKG_VERSION") })
}

/// `GET /metrics`
async fn metrics(State(app): State<Arc<App>>) -> Response {
    match app.metrics().to_text() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
