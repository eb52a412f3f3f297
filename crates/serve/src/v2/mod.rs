//! The Open Inference Protocol, version 2, as Triton and KServe speak it, with Triton's binary tensors, `generate`,
//! configuration, statistics and index of the repository.
//!
//! ```text
//! infer:    tensors, as JSON or bytes ─┐                  ┌─ tensors, as JSON or bytes
//!                                      ├─ fields ─▶ jobs ─┤
//! generate: JSON ──────────────────────┘                  └─ JSON, or events
//! ```

mod about;
mod asked;
mod generate;
mod infer;
mod input;
mod output;
mod tensor;
mod which;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::app::App;

/// The routes of this surface.
pub(crate) fn router() -> Router<Arc<App>> {
    let mut router = Router::new()
        .route("/v2", get(about::server))
        .route("/v2/", get(about::server))
        .route("/v2/health/live", get(about::live))
        .route("/v2/health/ready", get(about::ready))
        .route("/v2/models/stats", get(about::all_statistics))
        .route("/v2/repository/index", post(about::index));
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        let at = |path: &str| format!("{model}{path}");
        router = router
            .route(model, get(about::model))
            .route(&at("/ready"), get(about::model_ready))
            .route(&at("/config"), get(about::config))
            .route(&at("/stats"), get(about::statistics))
            .route(&at("/infer"), post(infer::infer))
            .route(&at("/generate"), post(generate::generate))
            .route(&at("/generate_stream"), post(generate::generate_stream));
    }
    router
}
