//! The Open Inference Protocol over gRPC: each call is a request of HTTP to the routes of [`v2`](crate::v2), so that keys, limits,
//! counts, logs and records are those of HTTP, and so are answers.
//!
//! ```text
//! HTTP/2 ─ /inference.GRPCInferenceService/ModelInfer ─ message ─▶ POST /v2/models/tiny/infer ─┐
//!    ▲                                                                                         │ all routes
//!    └─────────────────── message, or status ◀──────────────────── response ◀──────────────────┘
//! ```
//!
//! Calls: `ServerLive`, `ServerReady`, `ModelReady`, `ServerMetadata`, `ModelMetadata`, `ModelInfer` of the protocol;
//! `ModelStreamInfer`, `ModelConfig`, `ModelStatistics`, `RepositoryIndex`, `RepositoryModelLoad`, `RepositoryModelUnload` of
//! Triton; `Check` of gRPC's own health. Tensors are answered as bytes (`raw_output_contents`), as Triton does. Others are
//! `UNIMPLEMENTED`, as are compressed messages.

mod call;
mod infer;
mod message;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode},
    response::Response,
    routing::post,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tonic::Status;

use crate::{
    app::App,
    grpc::{
        call::{Caller, Shared, streaming, unary},
        infer::{from_http, to_http},
        message::{
            Empty, HealthAnswer, HealthCheck, Live, ModelConfigAnswer, ModelInfer, ModelInferAnswer, ModelMetadata,
            ModelStatisticsAnswer, Ready, RepositoryIndex, RepositoryIndexAnswer, RepositoryModel, RepositoryParameter,
            RepositoryValue, ServerMetadata, StreamAnswer, WhichModel,
        },
    },
};

/// The service of the protocol.
const SERVICE: &str = "inference.GRPCInferenceService";

/// Of `grpc.health.v1.HealthCheckResponse`.
const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

/// `http`, and the calls that it answers. Streams end when `ending` is true.
pub(crate) fn with_calls(http: Router, app: Arc<App>, ending: watch::Receiver<bool>) -> Router {
    let call = |name: &str| format!("/{SERVICE}/{name}");
    Router::new()
        .route(&call("ServerLive"), unary(server_live))
        .route(&call("ServerReady"), unary(server_ready))
        .route(&call("ModelReady"), unary(model_ready))
        .route(&call("ServerMetadata"), unary(server_metadata))
        .route(&call("ModelMetadata"), unary(model_metadata))
        .route(&call("ModelInfer"), unary(infer))
        .route(&call("ModelStreamInfer"), streaming(stream_infer))
        .route(&call("ModelConfig"), unary(model_config))
        .route(&call("ModelStatistics"), unary(model_statistics))
        .route(&call("RepositoryIndex"), unary(repository_index))
        .route(&call("RepositoryModelLoad"), unary(load))
        .route(&call("RepositoryModelUnload"), unary(unload))
        .route("/grpc.health.v1.Health/Check", unary(health))
        .route(&call("{call}"), post(unknown))
        .with_state(Shared::new(http.clone(), app, ending))
        .fallback_service(http)
}

/// Where HTTP would say that nothing is there.
async fn unknown(request: Request) -> Response {
    Status::unimplemented(format!("{} is not there", request.uri().path())).into_http()
}

async fn server_live(caller: Caller, _: Empty) -> Result<Live, Status> {
    caller.get("/v2/health/live").await
}

async fn server_ready(caller: Caller, _: Empty) -> Result<Ready, Status> {
    is_ready(&caller, "/v2/health/ready").await
}

async fn model_ready(caller: Caller, which: WhichModel) -> Result<Ready, Status> {
    is_ready(&caller, &path(&which.name, &which.version, "/ready")?).await
}

/// What is not ready says so with a status of its own by HTTP.
async fn is_ready(caller: &Caller, path: &str) -> Result<Ready, Status> {
    let reply = caller.ask(Method::GET, path, infer::Body::default()).await?;
    if reply.status == StatusCode::SERVICE_UNAVAILABLE { reply.read() } else { reply.answered()?.read() }
}

async fn server_metadata(caller: Caller, _: Empty) -> Result<ServerMetadata, Status> {
    caller.get("/v2").await
}

async fn model_metadata(caller: Caller, which: WhichModel) -> Result<ModelMetadata, Status> {
    caller.get(&path(&which.name, &which.version, "")?).await
}

async fn model_config(caller: Caller, which: WhichModel) -> Result<ModelConfigAnswer, Status> {
    let config = caller.get(&path(&which.name, &which.version, "/config")?).await?;
    Ok(ModelConfigAnswer { config: Some(config) })
}

/// Of all models where none is named.
async fn model_statistics(caller: Caller, which: WhichModel) -> Result<ModelStatisticsAnswer, Status> {
    match &*which.name {
        "" => caller.get("/v2/models/stats").await,
        name => caller.get(&path(name, &which.version, "/stats")?).await,
    }
}

async fn infer(caller: Caller, request: ModelInfer) -> Result<ModelInferAnswer, Status> {
    let path = path(&request.model_name, &request.model_version, "/infer")?;
    let reply = caller.ask(Method::POST, &path, to_http(request)?).await?.answered()?;
    from_http(&reply.body).ok_or_else(|| Status::internal("no such answer"))
}

/// What is refused leaves the stream open.
async fn stream_infer(caller: Caller, request: ModelInfer) -> StreamAnswer {
    match infer(caller, request).await {
        Ok(answer) => StreamAnswer { infer_response: Some(answer), error_message: String::new() },
        Err(status) => StreamAnswer { infer_response: None, error_message: status.message().to_owned() },
    }
}

async fn repository_index(caller: Caller, request: RepositoryIndex) -> Result<RepositoryIndexAnswer, Status> {
    the_repository(&request.repository_name)?;
    let reply = caller.post("/v2/repository/index", &json!({"ready": request.ready})).await?;
    Ok(RepositoryIndexAnswer { models: reply.read()? })
}

async fn load(caller: Caller, request: RepositoryModel) -> Result<Empty, Status> {
    repository_model(&caller, request, "load").await
}

async fn unload(caller: Caller, request: RepositoryModel) -> Result<Empty, Status> {
    repository_model(&caller, request, "unload").await
}

async fn repository_model(caller: &Caller, request: RepositoryModel, what: &str) -> Result<Empty, Status> {
    the_repository(&request.repository_name)?;
    named(&request.model_name)?;
    let name = utf8_percent_encode(&request.model_name, NON_ALPHANUMERIC);
    let parameters =
        request.parameters.into_iter().map(|(name, parameter)| Ok((name.clone(), value(&name, parameter)?)));
    let parameters = parameters.collect::<Result<Map<String, Value>, Status>>()?;
    let path = format!("/v2/repository/models/{name}/{what}");
    caller.post(&path, &json!({"parameters": parameters})).await?;
    Ok(Empty {})
}

/// "" is the server.
async fn health(caller: Caller, check: HealthCheck) -> Result<HealthAnswer, Status> {
    if !["", SERVICE].contains(&&*check.service) {
        return Err(Status::not_found(format!("there is no service {:?}", check.service)));
    }
    let is_ready = is_ready(&caller, "/v2/health/ready").await?.ready;
    Ok(HealthAnswer { status: if is_ready { SERVING } else { NOT_SERVING } })
}

/// Where HTTP has a model, and what of it.
fn path(name: &str, version: &str, what: &str) -> Result<String, Status> {
    named(name)?;
    let [name, version] = [name, version].map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
    let version = if version.is_empty() { version } else { format!("/versions/{version}") };
    Ok(format!("/v2/models/{name}{version}{what}"))
}

fn named(name: &str) -> Result<(), Status> {
    if name.is_empty() { Err(Status::invalid_argument("the name of the model is missing")) } else { Ok(()) }
}

/// There is one, which has no name.
fn the_repository(name: &str) -> Result<(), Status> {
    if name.is_empty() { Ok(()) } else { Err(Status::not_found(format!("there is no repository {name:?}"))) }
}

fn value(name: &str, parameter: RepositoryParameter) -> Result<Value, Status> {
    match parameter.value {
        None => Ok(Value::Null),
        Some(RepositoryValue::Bool(value)) => Ok(value.into()),
        Some(RepositoryValue::Int64(value)) => Ok(value.into()),
        Some(RepositoryValue::Text(value)) => Ok(value.into()),
        // a model is what its files say, and they lie in the repository
        Some(RepositoryValue::Bytes(_)) => {
            Err(Status::invalid_argument(format!("{name}: no file is taken from requests")))
        }
    }
}
