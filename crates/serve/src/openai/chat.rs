//! `POST /v1/chat/completions`

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    json::Fields,
    openai::{
        answer::{Asked, Stream},
        common::{WORDS, take_format, take_idle},
        form::Form,
        message::message,
    },
    refusal::Refusal,
    settings::{Settings, Words},
    template::Chat,
};

/// Most tokens that an assistant says who has no end: without a context, and not told how many.
const MAX_TOKENS: usize = 4096;

/// Variables that every template has, which a request does not set.
const OWN: [&str; 5] = ["messages", "add_generation_prompt", "bos_token", "eos_token", "pad_token"];

/// Say what the assistant says.
pub(crate) async fn chat(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    app.read(request, |fields| asked(&app, fields)).await?.answer(&app).await
}

fn asked(app: &App, mut fields: Fields) -> Result<Asked<'_>, Refusal> {
    let engine = app.engine(fields.take::<String>("model")?.as_deref())?;
    let loaded = engine.loaded();
    let mut settings = Settings::take(&mut fields, loaded, Words { prompt: "messages", ..WORDS })?;
    let stream = Stream::take(&mut fields, &mut settings)?;
    let chat = take_chat(&mut fields)?;
    let endless = loaded.model.context_len().is_none().then_some(MAX_TOKENS);
    settings.max_tokens = take_max_tokens(&mut fields)?.or(endless);
    take_logprobs(&mut fields, &mut settings)?;
    take_format(&mut fields, &mut settings, loaded)?;
    take_idle(&mut fields)?;
    refuse_what_is_not_built(&mut fields)?;
    fields.done()?;
    let tokens = loaded.template.tokens(&loaded.tokenizer, chat);
    let tokens = tokens.map_err(|problem| Refusal::field("messages", format!("messages: {problem}")))?;
    if tokens.is_empty() {
        return Err(Refusal::field("messages", "messages: nothing to go on from"));
    }
    let jobs = settings.jobs(engine, vec![tokens], app.texts())?;
    let echoes = vec![String::new(); jobs.len()];
    Ok(Asked { engine, form: Form::Chat, settings, stream, jobs, echoes })
}

fn take_chat(fields: &mut Fields) -> Result<Chat, Refusal> {
    let messages: Vec<Map<String, Value>> = fields.take("messages")?.unwrap_or_default();
    if messages.is_empty() {
        return Err(Refusal::field("messages", "messages: expected one at least"));
    }
    let messages = messages.into_iter().enumerate();
    let messages = messages.map(|(index, fields)| message(&format!("messages[{index}]"), Fields::of(fields)));
    let more: Map<String, Value> = fields.take("chat_template_kwargs")?.unwrap_or_default();
    let is_foreign = |(name, value): (&String, &Value)| {
        OWN.contains(&name.as_str()) || !(value.is_boolean() || value.is_number() || value.is_string())
    };
    if let Some((name, _)) = more.iter().find(|entry| is_foreign(*entry)) {
        let field = format!("chat_template_kwargs.{name}");
        let problem = "expected a text, a number or a boolean, by a name that is not among the template's own";
        return Err(Refusal::field(&field, format!("{field}: {problem}")));
    }
    let add_generation_prompt = fields.take("add_generation_prompt")?.unwrap_or(true);
    Ok(Chat { messages: messages.collect::<Result<_, _>>()?, add_generation_prompt, more })
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
    fields.take::<String>("safety_identifier")?;
    fields.take::<String>("prompt_cache_key")?;
    for (name, nothing) in [
        ("tools", &[json!([])][..]),
        ("tool_choice", &[json!("none"), json!("auto")]),
        ("parallel_tool_calls", &[json!(true), json!(false)]),
        ("functions", &[json!([])]),
        ("function_call", &[json!("none"), json!("auto")]),
        ("modalities", &[json!(["text"])]),
        ("store", &[json!(false)]),
        ("metadata", &[json!({})]),
        ("service_tier", &[json!("auto"), json!("default")]),
        ("audio", &[]),
        ("prediction", &[]),
        ("reasoning_effort", &[json!("none")]),
        ("verbosity", &[json!("medium")]),
        ("web_search_options", &[]),
    ] {
        fields.only(name, nothing)?;
    }
    Ok(())
}
