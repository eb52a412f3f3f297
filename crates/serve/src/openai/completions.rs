//! `POST /v1/completions`

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
    },
    openapi::schema::{boolean, integer, object, only, or, or_null, text},
    prompt::{self, Prompt, Prompts},
    refusal::Refusal,
    settings::{Settings, TOP_LOGPROBS},
};

/// Most tokens of a text that does not say how many.
const MAX_TOKENS: usize = 16;

/// Continue prompts.
pub(super) async fn completions(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    app.read(request, |fields| asked(&app, fields)).await?.answer(&app).await
}

/// What [`asked`] reads.
pub(super) fn schema() -> Value {
    let own = vec![
        ("model", or_null(text())),
        ("prompt", or(prompt::schema(), "")),
        ("max_tokens", or(integer(0..=u32::MAX), MAX_TOKENS)),
        ("echo", or(boolean(), false)),
        ("logprobs", or_null(integer(0..=TOP_LOGPROBS))),
        ("suffix", or_null(only(&[json!("")]))),
        // that of `n`
        ("best_of", or_null(integer(1..=u32::MAX))),
    ];
    object([own, Settings::properties(WORDS), Stream::properties(), common::properties()].concat())
}

fn asked(app: &App, mut fields: Fields) -> Result<Asked, Refusal> {
    let engine = app.engine(fields.take::<String>("model")?.as_deref())?;
    let loaded = engine.loaded();
    let mut settings = Settings::take(&mut fields, loaded, WORDS)?;
    let stream = Stream::take(&mut fields, &mut settings)?;
    let Prompts(prompts) = fields.take("prompt")?.unwrap_or_default();
    settings.max_tokens = Some(fields.take::<u32>("max_tokens")?.map_or(MAX_TOKENS, |most| most as usize));
    let echoes = fields.take("echo")?.unwrap_or(false);
    if let Some(top) = fields.take("logprobs")? {
        settings.with_logprobs("logprobs", top, echoes)?;
    }
    take_format(&mut fields, &mut settings, loaded)?;
    take_idle(&mut fields)?;
    fields.only("suffix", &[json!("")])?;
    fields.only("best_of", &[json!(settings.choices)])?;
    fields.done()?;
    let tokens = prompts.iter().map(|prompt| prompt.tokens(loaded)).collect();
    let jobs = settings.jobs(&engine, tokens, app.texts())?;
    let echo = |prompt: &Prompt| if echoes { prompt.text(&loaded.tokenizer) } else { String::new() };
    let echoes = prompts.iter().flat_map(|prompt| vec![echo(prompt); settings.choices]).collect();
    Ok(Asked { engine, form: Form::Completion, settings, stream, jobs, echoes })
}
