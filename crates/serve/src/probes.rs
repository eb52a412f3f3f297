//! Whether the server is there, and which it is.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
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
