//! `POST /v1/completions`

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde_json::json;

use crate::{
    app::App,
    json::Fields,
    openai::{
        answer::{Asked, Stream},
        common::{WORDS, take_format, take_idle},
        form::Form,
    },
    prompt::{Prompt, Prompts},
    refusal::Refusal,
    settings::Settings,
};

/// Most tokens of a text that does not say how many.
const MAX_TOKENS: usize = 16;

/// Continue prompts.
pub(crate) async fn completions(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    app.read(request, |fields| asked(&app, fields)).await?.answer(&app).await
}

fn asked(app: &App, mut fields: Fields) -> Result<Asked<'_>, Refusal> {
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
    let jobs = settings.jobs(engine, tokens, app.texts())?;
    let echo = |prompt: &Prompt| if echoes { prompt.text(&loaded.tokenizer) } else { String::new() };
    let echoes = prompts.iter().flat_map(|prompt| vec![echo(prompt); settings.choices]).collect();
    Ok(Asked { engine, form: Form::Completion, settings, stream, jobs, echoes })
}
