//! `POST /v1/completions`

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use itera_runtime::SamplingConfig;
use itera_tokenizer::TokenId;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;
use tokio::task::block_in_place;

use crate::{
    answer::{Head, Usage, finish_reason},
    app::App,
    engine::Engine,
    job::{Job, Logprobs},
    json::{self, Object},
    openai::{
        choice::Choice,
        events::Events,
        logprobs::Lister,
        prompt::{Prompt, Prompts},
    },
    refusal::Refusal,
};

/// Bytes of a body that take longer to read and to turn into tokens than a step of an engine.
const LONG: usize = 16 << 10;

/// Texts that stop a completion.
const STOPS: usize = 64;

/// Most likely tokens that are told of in the place of each.
const TOP_LOGPROBS: u32 = 20;

/// The body of a request. Absent and null are the same: the default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: Option<String>,
    prompt: Option<Prompts>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    n: Option<u32>,
    seed: Option<u64>,
    stop: Option<Stops>,
    logit_bias: Option<Object<f32>>,
    echo: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    // of vLLM
    top_k: Option<u32>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
    ignore_eos: Option<bool>,
    // says who asks, and changes no answer
    #[serde(rename = "user")]
    _user: Option<String>,
    logprobs: Option<u32>,
    // of OpenAI, and not built: only the values that ask for nothing
    suffix: Option<String>,
    best_of: Option<u32>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug)]
struct Stops(Vec<String>);

impl<'de> Deserialize<'de> for Stops {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stops = match Value::deserialize(deserializer)? {
            Value::String(stop) => Some(vec![stop]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        stops.map(Self).ok_or_else(|| D::Error::custom("expected a text, or a list of texts"))
    }
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    head: Head,
    choices: Vec<Choice<'static>>,
    usage: Usage,
}

/// Continue prompts.
pub(crate) async fn completions(State(app): State<Arc<App>>, body: Body) -> Result<Response, Refusal> {
    let body = app.body(body).await?;
    let read = || -> Result<_, Refusal> {
        let request: Request = json::parse(&body)?;
        let engine = app.engine(request.model.as_deref())?;
        let jobs = request.jobs(engine, app.texts())?;
        Ok((request, engine, jobs))
    };
    // what is long to read must not keep others from being heard
    let (request, engine, jobs) = if body.len() > LONG { block_in_place(read)? } else { read()? };
    let echoes = request.echoes(engine);
    let readers = engine.submit(jobs)?;
    let loaded = engine.loaded();
    let head = Head::new("cmpl", "text_completion", &loaded.name, &loaded.fingerprint);
    let choices = request.choices();
    if request.stream == Some(true) {
        let with_usage = request.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true);
        let texts = readers.into_iter().zip(echoes).map(|(reader, echo)| (reader, echo, request.lister(engine)));
        let events = Events::new(&head, texts, choices, with_usage);
        let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
        return Ok((headers, Body::new(events)).into_response());
    }
    let mut answer = Answer { head, choices: vec![], usage: Usage::default() };
    for (index, (reader, echo)) in readers.into_iter().zip(echoes).enumerate() {
        let (ended, logprobs) = reader.whole().await?;
        answer.usage.add(&ended, index.is_multiple_of(choices));
        let completion = ended.completion;
        let text = (echo + &completion.text).into();
        let logprobs = request.lister(engine).map(|mut lister| lister.list(&logprobs));
        let finish_reason = completion.finish_reason.map(finish_reason);
        answer.choices.push(Choice { index, text, logprobs, finish_reason });
    }
    Ok(Json(answer).into_response())
}

impl Request {
    /// Texts a prompt.
    fn choices(&self) -> usize {
        self.n.unwrap_or(1) as usize
    }

    /// What tells how likely the tokens of a text were, where that is asked for.
    fn lister(&self, engine: &Engine) -> Option<Lister> {
        self.logprobs.map(|_| Lister::new(engine.shared()))
    }

    fn prompts(&self) -> Vec<Prompt> {
        self.prompt.clone().unwrap_or_default().0
    }

    /// What each text begins with where the prompt is asked for too.
    fn echoes(&self, engine: &Engine) -> Vec<String> {
        let echo = |prompt: &Prompt| match self.echo {
            Some(true) => prompt.text(&engine.loaded().tokenizer),
            _ => String::new(),
        };
        self.prompts().iter().flat_map(|prompt| vec![echo(prompt); self.choices()]).collect()
    }

    /// The texts to write, `n` for each prompt, if all is well with the request.
    fn jobs(&self, engine: &Engine, most_texts: usize) -> Result<Vec<Job>, Refusal> {
        self.refuse_what_is_not_built()?;
        let prompts = self.prompts();
        if self.choices() == 0 || prompts.len().saturating_mul(self.choices()) > most_texts {
            let message =
                format!("n: expected 1 to {most_texts} texts in all, n for each of {} prompts", prompts.len());
            return Err(Refusal::field("n", message));
        }
        let stops = self.stop.as_ref().map_or(&[][..], |stops| &stops.0);
        if stops.len() > STOPS || stops.iter().any(String::is_empty) {
            return Err(Refusal::field("stop", format!("stop: expected at most {STOPS} texts, none of them empty")));
        }
        if self.stream_options.is_some() && self.stream != Some(true) {
            return Err(Refusal::field("stream_options", "stream_options: only a stream has them"));
        }
        if self.logprobs.is_some_and(|top| top > TOP_LOGPROBS) {
            return Err(Refusal::field("logprobs", format!("logprobs: expected 0 to {TOP_LOGPROBS}")));
        }
        let of_prompt = self.echo == Some(true);
        let logprobs = self.logprobs.map(|top| Logprobs { top: top as usize, of_prompt });
        let sampling = self.sampling(engine)?;
        let max_tokens = self.max_tokens.unwrap_or(16) as usize;
        let mut jobs = vec![];
        for prompt in prompts {
            let prompt = checked(engine, prompt.tokens(&engine.loaded().tokenizer), max_tokens)?;
            jobs.extend((0..self.choices()).map(|choice| Job {
                prompt: prompt.clone(),
                sampling: sampling.clone(),
                choice: choice as u64,
                stops: stops.to_vec(),
                max_tokens,
                logprobs,
                is_streamed: self.stream == Some(true),
            }));
        }
        Ok(jobs)
    }

    fn refuse_what_is_not_built(&self) -> Result<(), Refusal> {
        let asked = [
            ("suffix", self.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty())),
            ("best_of", self.best_of.is_some_and(|best_of| best_of as usize != self.choices())),
            ("presence_penalty", self.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
            ("frequency_penalty", self.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
        ];
        match asked.into_iter().find(|(_, is_asked)| *is_asked) {
            Some((field, _)) => Err(Refusal::field(field, format!("{field}: this server does not do that"))),
            None => Ok(()),
        }
    }

    fn sampling(&self, engine: &Engine) -> Result<SamplingConfig, Refusal> {
        let within = |field: &str, value: Option<f64>, default: f64, least: f64, most: f64| {
            let value = value.unwrap_or(default);
            let is_well = (least..=most).contains(&value);
            let problem = || Refusal::field(field, format!("{field}: expected {least} to {most}, not {value}"));
            if is_well { Ok(value) } else { Err(problem()) }
        };
        Ok(SamplingConfig {
            temperature: within("temperature", self.temperature, 1.0, 0.0, 1000.0)?,
            top_k: self.top_k.unwrap_or(0) as usize,
            top_p: within("top_p", self.top_p, 1.0, 1e-9, 1.0)?,
            min_p: within("min_p", self.min_p, 0.0, 0.0, 1.0)?,
            repetition_penalty: within("repetition_penalty", self.repetition_penalty, 1.0, 0.01, 100.0)?,
            logit_bias: self.logit_bias(engine)?,
            seed: self.seed.unwrap_or(SamplingConfig::default().seed),
        })
    }

    fn logit_bias(&self, engine: &Engine) -> Result<Vec<(TokenId, f32)>, Refusal> {
        let loaded = engine.loaded();
        let mut all = vec![];
        for (token, bias) in self.logit_bias.iter().flat_map(|biases| &biases.0) {
            let id = token.parse().ok().filter(|id: &u32| (*id as usize) < loaded.model.config().vocab_size);
            let field = format!("logit_bias.{token}");
            let problem = |what: &str| Refusal::field(&field, format!("{field}: expected {what}"));
            let id = id.ok_or_else(|| problem("the id of a token of the model"))?;
            if !(-100.0..=100.0).contains(bias) {
                return Err(problem("a bias from -100 to 100"));
            }
            all.push((TokenId(id), *bias));
        }
        if self.ignore_eos == Some(true) {
            let ends = loaded.model.ends(&loaded.tokenizer);
            all.extend(ends.into_iter().map(|id| (id, f32::NEG_INFINITY)));
        }
        Ok(all)
    }
}

/// A prompt that the model can continue by `max_tokens`.
fn checked(engine: &Engine, prompt: Vec<TokenId>, max_tokens: usize) -> Result<Vec<TokenId>, Refusal> {
    let model = &engine.loaded().model;
    let vocab_size = model.config().vocab_size;
    if let Some(token) = prompt.iter().find(|token| token.index() >= vocab_size) {
        return Err(Refusal::field(
            "prompt",
            format!("prompt: token {token} is outside the vocabulary of {vocab_size}"),
        ));
    }
    match model.context_len() {
        Some(context) if prompt.len().saturating_add(max_tokens) > context => {
            Err(Refusal::too_long(prompt.len(), max_tokens, context))
        }
        _ => Ok(prompt),
    }
}
