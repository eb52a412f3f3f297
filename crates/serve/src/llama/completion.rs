//! `POST /completion`

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use itera_runtime::{FinishReason, TokenLogprob};
use itera_tokenizer::TokenId;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    app::App,
    engine::Engine,
    events::{EVENTS, Teller, events},
    job::Job,
    json::Fields,
    likely::Token,
    llama::settings,
    loaded::Loaded,
    openapi::{
        Operation,
        schema::{
            any_number, any_of, boolean, count, exactly, integer, list, object, one_of, only, or, or_null, some, text,
            with_required,
        },
    },
    outbox::Ended,
    prompt::{self, Prompts},
    refusal::Refusal,
    settings::Settings,
};

/// Texts to write, one a prompt, all checked.
struct Asked {
    engine: Arc<Engine>,
    jobs: Vec<Job>,
    teller: Told,
}

/// Tells of texts, one a prompt.
struct Told {
    loaded: Arc<Loaded>,
    settings: Settings,
    prompts: Vec<String>,
    /// Whether the tokens of a text are told.
    with_tokens: bool,
    /// Whether it is told how likely they were.
    with_probabilities: bool,
}

/// A text, or a piece of it.
#[derive(Serialize)]
struct Piece<'a> {
    index: usize,
    content: &'a str,
    tokens: Vec<TokenId>,
    stop: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_probabilities: Option<Vec<Token>>,
    #[serde(flatten)]
    at_end: Option<Value>,
}

/// What is taken and answered.
pub(super) fn operation() -> Operation {
    let own =
        vec![("model", or_null(text())), ("prompt", or(prompt::schema(), "")), ("return_tokens", or(boolean(), false))];
    let request = object([own, settings::properties()].concat());
    let settings = [
        settings::told_properties(),
        vec![("stop", list(text())), ("n_predict", integer(-1..=i64::MAX)), ("stream", boolean())],
    ];
    let timings = [
        "prompt_ms",
        "prompt_per_token_ms",
        "prompt_per_second",
        "predicted_ms",
        "predicted_per_token_ms",
        "predicted_per_second",
    ];
    let timings = timings.map(|name| (name, any_number())).to_vec();
    let counts = ["cache_n", "prompt_n", "predicted_n"].map(|name| (name, count())).to_vec();
    let mut answer = vec![
        ("index", count()),
        ("content", text()),
        ("tokens", list(count())),
        ("stop", boolean()),
        ("model", text()),
        ("system_fingerprint", text()),
        ("prompt", text()),
        ("generation_settings", exactly(settings.concat())),
        ("stop_type", one_of(&["eos", "word", "limit", "none"])),
        ("stopping_word", text()),
        ("truncated", only(&[json!(false)])),
        ("has_new_line", boolean()),
        ("tokens_predicted", count()),
        ("tokens_evaluated", count()),
        ("tokens_cached", count()),
        ("timings", exactly([counts, timings].concat())),
    ];
    let always: Vec<&str> = answer.iter().map(|(name, _)| *name).collect();
    answer.push(("completion_probabilities", list(Token::schema())));
    let answer = with_required(answer, &always);
    Operation::new("Continue prompts; several prompts have a list of answers")
        .takes("LlamaCppCompletionRequest", request)
        .answers(any_of([answer.clone(), some(answer)]))
        .answers_other(EVENTS)
        .computed()
}

/// Continue prompts.
pub(crate) async fn completion(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let Asked { engine, jobs, teller } = app.read(request, |fields| asked(&app, fields)).await?;
    let readers = engine.submit(jobs)?;
    if teller.settings.is_streamed {
        return Ok(events(readers, teller));
    }
    let mut texts = vec![];
    for reader in readers {
        texts.push(reader.whole().await?);
    }
    let answers = texts.iter().enumerate().map(|(index, (ended, tokens))| {
        let ids = if teller.with_tokens { ended.completion.ids.clone() } else { vec![] };
        teller.piece_of(index, &ended.completion.text, ids, tokens, Some(ended))
    });
    let answers: Vec<Piece<'_>> = answers.collect();
    Ok(match &answers[..] {
        [only] => Json(only).into_response(),
        _ => Json(answers).into_response(),
    })
}

fn asked(app: &App, mut fields: Fields) -> Result<Asked, Refusal> {
    let engine = app.engine(fields.take::<String>("model")?.as_deref())?;
    let loaded = engine.shared();
    let mut settings = settings::take(&mut fields, &loaded)?;
    let Prompts(prompts) = fields.take("prompt")?.unwrap_or_default();
    let with_tokens = fields.take("return_tokens")?.unwrap_or(false);
    fields.done()?;
    let with_probabilities = settings.logprobs.is_some();
    if with_tokens && settings.is_streamed && !with_probabilities {
        // which say of each piece what its tokens are
        settings.with_logprobs("return_tokens", 0, false)?;
    }
    let tokens = prompts.iter().map(|prompt| prompt.tokens(&loaded)).collect();
    let jobs = settings.jobs(&engine, tokens, app.texts())?;
    let prompts = prompts.iter().map(|prompt| prompt.text(&loaded.tokenizer)).collect();
    Ok(Asked { engine, jobs, teller: Told { loaded, settings, prompts, with_tokens, with_probabilities } })
}

impl Told {
    fn piece_of<'a>(
        &self,
        index: usize,
        content: &'a str,
        ids: Vec<TokenId>,
        tokens: &[TokenLogprob],
        end: Option<&Ended>,
    ) -> Piece<'a> {
        let likely = || tokens.iter().map(|token| Token::new(&self.loaded, token)).collect();
        Piece {
            index,
            content,
            tokens: ids,
            stop: end.is_some(),
            completion_probabilities: self.with_probabilities.then(likely),
            at_end: end.map(|ended| self.at_end(index, ended)),
        }
    }

    /// What is told of a text that has ended.
    fn at_end(&self, index: usize, ended: &Ended) -> Value {
        let usage = ended.completion.usage;
        let stopping_word = self.stopping_word(ended).unwrap_or_default();
        json!({
            "model": self.loaded.name,
            "system_fingerprint": self.loaded.fingerprint,
            "prompt": self.prompts.get(index),
            "generation_settings": self.generation_settings(),
            "stop_type": match ended.completion.finish_reason {
                Some(FinishReason::Eos) => "eos",
                Some(FinishReason::Stop) => "word",
                Some(FinishReason::Length | FinishReason::Context) => "limit",
                None => "none",
            },
            "stopping_word": stopping_word,
            "truncated": false,
            "has_new_line": ended.completion.text.contains('\n'),
            "tokens_predicted": usage.completion_tokens,
            "tokens_evaluated": usage.prompt_tokens,
            "tokens_cached": ended.cached_tokens,
            "timings": timings(ended),
        })
    }

    fn generation_settings(&self) -> Value {
        let mut told = settings::told(&self.settings.sampling);
        told["stop"] = json!(self.settings.stops);
        told["n_predict"] = self.settings.max_tokens.map_or(json!(-1), |most| most.into());
        told["stream"] = self.settings.is_streamed.into();
        told
    }

    /// The stop text that ended a text.
    fn stopping_word(&self, ended: &Ended) -> Option<&str> {
        let completion = &ended.completion;
        let is_stopped = completion.finish_reason == Some(FinishReason::Stop);
        let whole = is_stopped.then(|| self.loaded.tokenizer.decode(&completion.ids))?;
        let rest = whole.get(completion.text.len()..)?;
        self.settings.stops.iter().map(String::as_str).find(|stop| rest.starts_with(stop))
    }
}

/// How long a text took, without its time in the queue.
fn timings(ended: &Ended) -> Value {
    let (times, usage) = (ended.times, ended.completion.usage);
    let per = |time: Duration, count: usize| time.as_secs_f64() * 1e3 / count.max(1) as f64;
    let per_second = |time: Duration, count: usize| count as f64 / time.as_secs_f64().max(1e-9);
    let (read, write) = (times.reading(), times.writing());
    let n_read = usage.prompt_tokens - ended.cached_tokens.min(usage.prompt_tokens);
    json!({
        "cache_n": ended.cached_tokens,
        "prompt_n": n_read,
        "prompt_ms": per(read, 1),
        "prompt_per_token_ms": per(read, n_read),
        "prompt_per_second": per_second(read, n_read),
        "predicted_n": usage.completion_tokens,
        "predicted_ms": per(write, 1),
        "predicted_per_token_ms": per(write, usage.completion_tokens),
        "predicted_per_second": per_second(write, usage.completion_tokens),
    })
}

impl Teller for Told {
    fn piece(&mut self, index: usize, text: String, tokens: &[TokenLogprob], end: Option<&Ended>) -> String {
        let ids = if self.with_tokens { tokens.iter().map(|token| token.id).collect() } else { vec![] };
        let piece = self.piece_of(index, &text, ids, tokens, end);
        serde_json::to_string(&piece).expect("strings and numbers are JSON")
    }

    fn last(&mut self) -> Vec<String> {
        vec![]
    }

    fn lost(&self, refusal: &Refusal) -> String {
        refusal.to_json_with_status()
    }
}
