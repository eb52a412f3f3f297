//! `POST /v1/chat/completions`

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde_json::{Value, json};

use crate::{
    app::App,
    json::Fields,
    openai::{
        answer::{Asked, Stream},
        common::{self, WORDS, take_format, take_idle},
        form::Form,
        message::{self, take_chat, tokens_of},
    },
    openapi::schema::{Properties, boolean, integer, only, or, or_null, text, with_required},
    refusal::Refusal,
    settings::{Settings, TOP_LOGPROBS, Words},
};

/// Most tokens that an assistant says who has no end: without a context, and not told how many.
const MAX_TOKENS: usize = 4096;

/// Fields that change no answer.
const IDLE: [&str; 2] = ["safety_identifier", "prompt_cache_key"];

/// Say what the assistant says.
pub(super) async fn chat(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    app.read(request, |fields| asked(&app, fields)).await?.answer(&app).await
}

/// What [`asked`] reads.
pub(super) fn schema() -> Value {
    let own = vec![
        ("model", or_null(text())),
        ("messages", message::schema()),
        ("max_completion_tokens", or_null(integer(0..=u32::MAX))),
        ("max_tokens", or_null(integer(0..=u32::MAX))),
        ("logprobs", or(boolean(), false)),
        ("top_logprobs", or(integer(0..=TOP_LOGPROBS), 0)),
    ];
    let idle: Properties = IDLE.into_iter().map(|name| (name, or_null(text()))).collect();
    let not_built = not_built().into_iter().map(|(name, nothing)| (name, or_null(only(&nothing)))).collect();
    let common = [Settings::properties(WORDS), Stream::properties(), common::properties()].concat();
    with_required([own, message::properties(), common, idle, not_built].concat(), &["messages"])
}

fn asked(app: &App, mut fields: Fields) -> Result<Asked, Refusal> {
    let engine = app.engine(fields.take::<String>("model")?.as_deref())?;
    let loaded = engine.loaded();
    let mut settings = Settings::take(&mut fields, loaded, Words { prompt: "messages", ..WORDS })?;
    let stream = Stream::take(&mut fields, &mut settings)?;
    let chat = take_chat(&mut fields)?.ok_or_else(message::nothing_said)?;
    let endless = loaded.model.context_len().is_none().then_some(MAX_TOKENS);
    settings.max_tokens = take_max_tokens(&mut fields)?.or(endless);
    take_logprobs(&mut fields, &mut settings)?;
    take_format(&mut fields, &mut settings, loaded)?;
    take_idle(&mut fields)?;
    refuse_what_is_not_built(&mut fields)?;
    fields.done()?;
    let tokens = tokens_of(chat, loaded)?;
    if tokens.is_empty() {
        return Err(Refusal::field("messages", "messages: nothing to go on from"));
    }
    let jobs = settings.jobs(&engine, vec![tokens], app.texts())?;
    let echoes = vec![String::new(); jobs.len()];
    Ok(Asked { engine, form: Form::Chat, settings, stream, jobs, echoes })
}

/// `max_completion_tokens`, which was once `max_tokens`.
fn take_max_tokens(fields: &mut Fields) -> Result<Option<usize>, Refusal> {
    let (now, once) = (fields.take::<u32>("max_completion_tokens")?, fields.take::<u32>("max_tokens")?);
    match (now, once) {
        (Some(_), Some(_)) => Err(Refusal::field("max_tokens", "max_tokens: max_completion_tokens is there too")),
        (now, once) => Ok(now.or(once).map(|most| most as usize)),
    }
}

fn take_logprobs(fields: &mut Fields, settings: &mut Settings) -> Result<(), Refusal> {
    let (wanted, top) = (fields.take("logprobs")?.unwrap_or(false), fields.take("top_logprobs")?);
    match (wanted, top) {
        (true, top) => settings.with_logprobs("top_logprobs", top.unwrap_or(0), false),
        (false, None | Some(0)) => Ok(()),
        (false, Some(_)) => Err(Refusal::field("top_logprobs", "top_logprobs: only with logprobs")),
    }
}

fn refuse_what_is_not_built(fields: &mut Fields) -> Result<(), Refusal> {
    for name in IDLE {
        fields.take::<String>(name)?;
    }
    not_built().into_iter().try_for_each(|(name, nothing)| fields.only(name, &nothing))
}

/// What is not built, and the values that ask for nothing.
fn not_built() -> [(&'static str, Vec<Value>); 14] {
    [
        ("tools", vec![json!([])]),
        ("tool_choice", vec![json!("none"), json!("auto")]),
        ("parallel_tool_calls", vec![json!(true), json!(false)]),
        ("functions", vec![json!([])]),
        ("function_call", vec![json!("none"), json!("auto")]),
        ("modalities", vec![json!(["text"])]),
        ("store", vec![json!(false)]),
        ("metadata", vec![json!({})]),
        ("service_tier", vec![json!("auto"), json!("default")]),
        ("audio", vec![]),
        ("prediction", vec![]),
        ("reasoning_effort", vec![json!("none")]),
        ("verbosity", vec![json!("medium")]),
        ("web_search_options", vec![]),
    ]
}
