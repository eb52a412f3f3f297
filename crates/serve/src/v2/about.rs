//! What there is to know of a server and its models.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::{
    app::App,
    engine::Engine,
    openapi::{
        Operation,
        schema::{boolean, count, exactly, integer, list, object, one_of, text},
    },
    refusal::Refusal,
    statistics::Told,
    v2::{input::INPUTS, output::OUTPUTS, tensor::Datatype, which::Which},
};

/// What is spoken beside the protocol itself, as Triton calls it.
const EXTENSIONS: [&str; 8] = [
    "binary_tensor_data",
    "generate",
    "model_configuration",
    "model_repository",
    "parameters",
    "sequence",
    "sequence(string_id)",
    "statistics",
];

/// What [`server`] answers.
pub(super) fn server_operation() -> Operation {
    let answer = vec![("name", text()), ("version", text()), ("extensions", list(one_of(&EXTENSIONS)))];
    Operation::new("Tell of the server").answers(exactly(answer))
}

/// What [`live`] answers.
pub(super) fn live_operation() -> Operation {
    Operation::new("Tell that the process answers").answers(exactly(vec![("live", boolean())]))
}

/// What [`ready`] answers.
pub(super) fn ready_operation() -> Operation {
    let answer = exactly(vec![("ready", boolean())]);
    Operation::new("Tell whether every engine makes progress or has nothing to do")
        .answers(answer.clone())
        .answers_with(StatusCode::SERVICE_UNAVAILABLE, answer)
}

/// What [`model_ready`] answers.
pub(super) fn model_ready_operation() -> Operation {
    let answer = exactly(vec![("name", text()), ("ready", boolean())]);
    Operation::new("Tell whether the engine of a model makes progress or has nothing to do")
        .answers(answer.clone())
        .answers_with(StatusCode::SERVICE_UNAVAILABLE, answer)
}

/// What [`model`] answers.
pub(super) fn model_operation() -> Operation {
    let datatype = json!({"enum": Datatype::ALL});
    let tensor = exactly(vec![("name", text()), ("datatype", datatype), ("shape", list(integer(-1..=i64::MAX)))]);
    Operation::new("Tell of the tensors of a model").answers(exactly(vec![
        ("name", text()),
        ("versions", list(text())),
        ("platform", text()),
        ("inputs", list(tensor.clone())),
        ("outputs", list(tensor)),
    ]))
}

/// What [`config`] answers.
pub(super) fn config_operation() -> Operation {
    let tensor = || vec![("name", text()), ("data_type", text()), ("dims", list(integer(-1..=i64::MAX)))];
    Operation::new("Tell of a model as Triton configures one").answers(exactly(vec![
        ("name", text()),
        ("platform", text()),
        ("backend", text()),
        ("version_policy", json!({"type": "object"})),
        ("max_batch_size", count()),
        ("input", list(exactly([tensor(), vec![("optional", boolean())]].concat()))),
        ("output", list(exactly(tensor()))),
        ("model_transaction_policy", exactly(vec![("decoupled", boolean())])),
    ]))
}

/// What [`statistics`] and [`all_statistics`] answer.
pub(super) fn statistics_operation() -> Operation {
    let told = || exactly(vec![("count", count()), ("ns", count())]);
    let parts = [
        "success",
        "fail",
        "cancel",
        "queue",
        "compute_input",
        "compute_infer",
        "compute_output",
        "cache_hit",
        "cache_miss",
    ];
    let parts = parts.map(|name| (name, told())).to_vec();
    let of_model = exactly(vec![
        ("name", text()),
        ("version", text()),
        ("last_inference", count()),
        ("inference_count", count()),
        ("execution_count", count()),
        ("inference_stats", exactly(parts)),
        ("batch_stats", list(json!({}))),
        ("memory_usage", list(json!({}))),
        ("response_stats", object(vec![])),
    ]);
    Operation::new("Tell what was done").answers(exactly(vec![("model_stats", list(of_model))]))
}

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
    let id = which.id(&app)?;
    let is_ready = app.models().status(&id).is_some_and(|status| status.is_ready());
    Ok((status(is_ready), Json(json!({"name": id.name, "ready": is_ready}))))
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
    let id = which.id(&app)?;
    let versions = app.models().versions(&id.name);
    Ok(Json(json!({
        "name": id.name,
        "versions": versions.iter().map(u64::to_string).collect::<Vec<_>>(),
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
        "name": which.id(&app)?.name,
        "platform": "",
        "backend": "itera",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": inputs.collect::<Vec<_>>(),
        "output": outputs.collect::<Vec<_>>(),
        "model_transaction_policy": {"decoupled": false},
    })))
}

/// What a model did since it was loaded; nothing, if it is not.
pub(super) async fn statistics(State(app): State<Arc<App>>, which: Which) -> Result<Json<Value>, Refusal> {
    let engine = app.models().status(&which.id(&app)?).and_then(|status| status.engine);
    Ok(Json(json!({"model_stats": engine.iter().map(|engine| statistics_of(engine)).collect::<Vec<_>>()})))
}

/// What every model did that is loaded.
pub(super) async fn all_statistics(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"model_stats": app.models().engines().iter().map(|engine| statistics_of(engine)).collect::<Vec<_>>()}))
}

/// Texts count as inferences, steps of the engine as executions. A prompt's reading is `compute_input`, the writing after
/// the first token `compute_infer`.
fn statistics_of(engine: &Engine) -> Value {
    let told = engine.statistics().snapshot();
    let none = Told { count: 0, ns: 0 };
    json!({
        "name": engine.loaded().name,
        "version": engine.loaded().version.to_string(),
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
