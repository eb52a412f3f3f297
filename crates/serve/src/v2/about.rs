//! What there is to know of a server and its models.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use crate::{
    app::App,
    engine::Engine,
    json::{Fields, parse},
    refusal::Refusal,
    statistics::Told,
    v2::{
        input::INPUTS,
        output::OUTPUTS,
        which::{VERSION, Which},
    },
};

/// What is spoken beside the protocol itself, as Triton calls it.
const EXTENSIONS: [&str; 5] = ["binary_tensor_data", "generate", "model_configuration", "parameters", "statistics"];

pub(super) async fn server() -> Json<Value> {
    Json(json!({"name": "itera", "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS}))
}

/// The process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

/// Every engine makes progress, or has nothing to do.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let is_ready = app.is_ready();
    (status(is_ready), Json(json!({"ready": is_ready})))
}

/// The engine of the model makes progress, or has nothing to do.
pub(super) async fn model_ready(
    State(app): State<Arc<App>>,
    which: Which,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let engine = which.engine(&app)?;
    let is_ready = engine.is_ready();
    Ok((status(is_ready), Json(json!({"name": engine.loaded().name, "ready": is_ready}))))
}

fn status(is_ready: bool) -> StatusCode {
    if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Elements of a tensor as a shape: -1 for any number of them.
fn shape(len: Option<usize>) -> [i64; 1] {
    [len.map_or(-1, |len| len as i64)]
}

/// The tensors of a model.
pub(super) async fn model(State(app): State<Arc<App>>, which: Which) -> Result<Json<Value>, Refusal> {
    let inputs = INPUTS.map(|input| json!({"name": input.name, "datatype": input.datatype, "shape": shape(input.len)}));
    let outputs = OUTPUTS.map(|(name, datatype)| json!({"name": name, "datatype": datatype, "shape": shape(None)}));
    Ok(Json(json!({
        "name": which.engine(&app)?.loaded().name,
        "versions": [VERSION],
        "platform": "itera",
        "inputs": Vec::from(inputs),
        "outputs": Vec::from(outputs),
    })))
}

/// A model as Triton configures one. Texts are batched by their engine, not by their first dimension.
pub(super) async fn config(State(app): State<Arc<App>>, which: Which) -> Result<Json<Value>, Refusal> {
    let inputs = INPUTS.iter().enumerate().map(|(index, input)| {
        let kind = input.datatype.in_config();
        json!({"name": input.name, "data_type": kind, "dims": shape(input.len), "optional": index > 0})
    });
    let outputs = OUTPUTS
        .iter()
        .map(|(name, datatype)| json!({"name": name, "data_type": datatype.in_config(), "dims": shape(None)}));
    Ok(Json(json!({
        "name": which.engine(&app)?.loaded().name,
        "platform": "",
        "backend": "itera",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": inputs.collect::<Vec<_>>(),
        "output": outputs.collect::<Vec<_>>(),
        "model_transaction_policy": {"decoupled": false},
    })))
}

/// What a model did.
pub(super) async fn statistics(State(app): State<Arc<App>>, which: Which) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"model_stats": [statistics_of(which.engine(&app)?)]})))
}

/// What every model did.
pub(super) async fn all_statistics(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"model_stats": app.engines().iter().map(statistics_of).collect::<Vec<_>>()}))
}

/// Texts count as inferences, steps of the engine as executions. A prompt's reading is `compute_input`, the writing after
/// the first token `compute_infer`.
fn statistics_of(engine: &Engine) -> Value {
    let told = engine.statistics().snapshot();
    let none = Told { count: 0, ns: 0 };
    json!({
        "name": engine.loaded().name,
        "version": VERSION,
        "last_inference": told.last_ms,
        "inference_count": told.success.count,
        "execution_count": told.steps,
        "inference_stats": {
            "success": told.success,
            "fail": none,
            "cancel": told.cancel,
            "queue": told.queue,
            "compute_input": told.read,
            "compute_infer": told.write,
            "compute_output": none,
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [],
        "memory_usage": [],
        "response_stats": {},
    })
}

/// The models that are there, all of which answer.
pub(super) async fn index(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, Refusal> {
    let body = app.body(request).await?;
    let mut fields = if body.is_empty() { Fields::default() } else { parse(&body)? };
    let only_ready = fields.take("ready")?.unwrap_or(false);
    fields.done()?;
    let entry = |engine: &Engine| {
        let state = if engine.is_ready() { "READY" } else { "UNAVAILABLE" };
        json!({"name": engine.loaded().name, "version": VERSION, "state": state, "reason": ""})
    };
    let listed = app.engines().iter().filter(|engine| !only_ready || engine.is_ready());
    Ok(Json(listed.map(entry).collect()))
}
