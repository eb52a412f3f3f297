//! Triton's extension for the repository of models: `POST /v2/repository/index`, and `load` and `unload` of a model.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use crate::{
    app::App,
    catalog::Status,
    json::{Fields, parse},
    openapi::{
        Operation,
        schema::{boolean, exactly, list, object, one_of, only, or, or_null, text},
    },
    refusal::Refusal,
    v2::which::Which,
};

const READY: &str = "READY";
const UNAVAILABLE: &str = "UNAVAILABLE";

/// What [`index`] takes and answers.
pub(super) fn index_operation() -> Operation {
    let state = one_of(&[READY, UNAVAILABLE]);
    let entry = exactly(vec![("name", text()), ("version", text()), ("state", state), ("reason", text())]);
    Operation::new("List the models")
        .takes("RepositoryIndexRequest", object(vec![("ready", or(boolean(), false))]))
        .or_nothing()
        .answers(list(entry))
}

/// What [`load`] takes.
pub(super) fn load_operation() -> Operation {
    let parameters = object(vec![("config", or_null(only(&[])))]);
    Operation::new("Load a model from its files as they are now; where that fails, what was there stays")
        .takes("RepositoryLoadRequest", object(vec![("parameters", or_null(parameters))]))
        .or_nothing()
        .answers_nothing()
        .refuses(&[StatusCode::SERVICE_UNAVAILABLE])
}

/// What [`unload`] takes.
pub(super) fn unload_operation() -> Operation {
    let parameters = object(vec![("unload_dependents", or(boolean(), false))]);
    Operation::new("Put a model away, in all of its versions, once its requests are answered")
        .takes("RepositoryUnloadRequest", object(vec![("parameters", or_null(parameters))]))
        .or_nothing()
        .answers_nothing()
}

/// All models, of which those answer that are loaded.
pub(super) async fn index(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, Refusal> {
    let mut fields = fields(&app, request).await?;
    let only_ready = fields.take("ready")?.unwrap_or(false);
    fields.done()?;
    let listed = app.models().all().into_iter().filter(|status| !only_ready || status.is_ready());
    Ok(Json(listed.map(|status| entry(&status)).collect()))
}

fn entry(status: &Status) -> Value {
    let state = if status.is_ready() { READY } else { UNAVAILABLE };
    let reason = match (&status.engine, &status.failed) {
        (_, Some(why)) => why.to_string(),
        (Some(_), None) => String::new(),
        (None, None) => "unloaded".to_owned(),
    };
    json!({"name": status.id.name, "version": status.id.version.to_string(), "state": state, "reason": reason})
}

/// The highest version of a model; its files as they are now.
pub(super) async fn load(State(app): State<Arc<App>>, which: Which, request: Request) -> Result<(), Refusal> {
    let name = allowed(&app, which)?;
    let mut fields = fields(&app, request).await?;
    let mut parameters = Fields::of(fields.take("parameters")?.unwrap_or_default());
    fields.done()?;
    // a model is what its files say, and they lie in the repository
    let nothing = parameters.only("config", &[]).and_then(|()| parameters.done());
    nothing.map_err(|refusal| refusal.within("parameters"))?;
    let load = || app.models().load(&name).map_err(|missing| Refusal::missing(Some(&name), missing));
    tokio::task::block_in_place(load)
}

/// All versions of a model.
pub(super) async fn unload(State(app): State<Arc<App>>, which: Which, request: Request) -> Result<(), Refusal> {
    let name = allowed(&app, which)?;
    let mut fields = fields(&app, request).await?;
    let mut parameters = Fields::of(fields.take("parameters")?.unwrap_or_default());
    fields.done()?;
    // nothing depends on a model
    parameters.take::<bool>("unload_dependents").map_err(|refusal| refusal.within("parameters"))?;
    parameters.done().map_err(|refusal| refusal.within("parameters"))?;
    app.models().unload(&name).map_err(|missing| Refusal::missing(Some(&name), missing))
}

/// The name of a model that requests may have loaded and put away.
fn allowed(app: &App, which: Which) -> Result<String, Refusal> {
    if app.may_load() { Ok(which.into_name()) } else { Err(Refusal::may_not_load()) }
}

async fn fields(app: &App, request: Request) -> Result<Fields, Refusal> {
    let body = app.body(request).await?;
    if body.is_empty() { Ok(Fields::default()) } else { parse(&body) }
}
