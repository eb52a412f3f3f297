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
mod repository;
mod sequence;
mod tensor;
mod which;

#[cfg(feature = "grpc")]
pub(crate) use infer::JSON_LENGTH;

use crate::{feedback, openapi::Routes};

/// The routes of this surface.
pub(crate) fn routes(mut routes: Routes) -> Routes {
    routes = routes
        .get("/v2", about::server, about::server_operation())
        .get("/v2/", about::server, about::server_operation())
        .get("/v2/health/live", about::live, about::live_operation())
        .get("/v2/health/ready", about::ready, about::ready_operation())
        .get("/v2/models/stats", about::all_statistics, about::statistics_operation())
        .post("/v2/repository/index", repository::index, repository::index_operation())
        .post("/v2/repository/models/{model}/load", repository::load, repository::load_operation())
        .post("/v2/repository/models/{model}/unload", repository::unload, repository::unload_operation())
        .post("/v2/feedback", feedback::feedback, feedback::operation());
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        let at = |path: &str| format!("{model}{path}");
        routes = routes
            .get(model, about::model, about::model_operation())
            .get(&at("/ready"), about::model_ready, about::model_ready_operation())
            .get(&at("/config"), about::config, about::config_operation())
            .get(&at("/stats"), about::statistics, about::statistics_operation())
            .post(&at("/infer"), infer::infer, infer::operation())
            .post(&at("/generate"), generate::generate, generate::operation())
            .post(&at("/generate_stream"), generate::generate_stream, generate::stream_operation());
    }
    routes
}
