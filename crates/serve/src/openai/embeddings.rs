//! `POST /v1/embeddings`: vectors of texts, those that `itera embed` makes of them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use itera_tokenizer::TokenId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    app::{App, at_leisure},
    engine::Engine,
    job::VectorJob,
    json::Fields,
    loaded::Loaded,
    openapi::{
        Operation,
        schema::{
            any_number, any_of, count, exactly, integer, list, one_of, only, or, or_null, some, text, with_required,
        },
    },
    outbox::Lost,
    prompt::{EXPECTED, Prompt, Prompts, check_tokens},
    refusal::Refusal,
};

/// What a request asks for, all checked.
struct Asked {
    engine: Arc<Engine>,
    jobs: Vec<VectorJob>,
    encoding: Encoding,
}

/// How numbers are told.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    /// As decimal numbers, the shortest that round to them.
    #[default]
    Float,
    /// As the bytes of f32, the lowest first, in base64.
    Base64,
}

#[derive(Serialize)]
struct Answer {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers {
    Float(Vec<f32>),
    Base64(String),
}

/// Nothing is written, so that both are the same.
#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// What is taken and answered.
pub(super) fn operation() -> Operation {
    let (one, tokens) = (json!({"type": "string", "minLength": 1}), some(integer(0..=u32::MAX)));
    let request = vec![
        ("model", or_null(text())),
        ("input", any_of([one.clone(), tokens.clone(), some(any_of([one, tokens]))])),
        ("encoding_format", or(one_of(&["float", "base64"]), "float")),
        ("dimensions", or_null(integer(1..=u32::MAX))),
        ("user", or_null(text())),
        ("truncate_prompt_tokens", or_null(only(&[json!(-1)]))),
    ];
    let embedding = any_of([list(any_number()), text()]);
    let embedding = exactly(vec![("object", one_of(&["embedding"])), ("index", count()), ("embedding", embedding)]);
    let answer = exactly(vec![
        ("object", one_of(&["list"])),
        ("data", list(embedding)),
        ("model", text()),
        ("usage", exactly(vec![("prompt_tokens", count()), ("total_tokens", count())])),
    ]);
    Operation::new("Make vectors of texts")
        .takes("EmbeddingsRequest", with_required(request, &["input"]))
        .answers(answer)
        .computed()
}

/// Make vectors of texts.
pub(super) async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let Asked { engine, jobs, encoding } = app.read(request, |fields| asked(&app, fields)).await?;
    let tokens = jobs.iter().map(|job| job.tokens.len()).sum();
    let mut vectors = vec![];
    for vector in engine.embed(jobs)? {
        vectors.push(vector.await.map_err(|_| Lost::Engine)?);
    }
    let bytes = vectors.iter().map(|vector| size_of_val(&vector[..])).sum();
    Ok(at_leisure(bytes, || {
        let data = vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
            object: "embedding",
            index,
            embedding: encoding.encode(vector),
        });
        let (data, model) = (data.collect(), engine.loaded().name.clone());
        let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
        Json(Answer { object: "list", data, model, usage }).into_response()
    }))
}

fn asked(app: &App, mut fields: Fields) -> Result<Asked, Refusal> {
    let engine = app.engine(fields.take::<String>("model")?.as_deref())?;
    let loaded = engine.loaded();
    let Prompts(inputs) = fields.take("input")?.unwrap_or_default();
    let encoding = fields.take("encoding_format")?.unwrap_or_default();
    let d = loaded.model.config().d_model;
    let dims = fields.take::<u32>("dimensions")?.map_or(d, |dims| dims as usize);
    fields.take::<String>("user")?;
    // as vLLM's clients send it whatever they ask: what does not fit is refused all the same
    fields.only("truncate_prompt_tokens", &[json!(-1)])?;
    fields.done()?;
    if !(1..=d).contains(&dims) {
        return Err(Refusal::field("dimensions", format!("dimensions: expected 1 to {d}, not {dims}")));
    }
    if inputs.iter().any(Prompt::is_empty) {
        return Err(Refusal::field("input", format!("input: {EXPECTED}")));
    }
    if inputs.len() > app.texts() {
        let problem = format!("input: expected at most {} texts, not {}", app.texts(), inputs.len());
        return Err(Refusal::field("input", problem));
    }
    let several = inputs.len() > 1;
    let jobs = inputs.iter().enumerate().map(|(index, input)| {
        let field = if several { format!("input[{index}]") } else { "input".into() };
        Ok(VectorJob { tokens: tokens(&field, input, loaded)?, dims })
    });
    let jobs = jobs.collect::<Result<_, Refusal>>()?;
    Ok(Asked { engine, jobs, encoding })
}

/// The tokens of an input, which came in `field`.
fn tokens(field: &str, input: &Prompt, loaded: &Loaded) -> Result<Vec<TokenId>, Refusal> {
    let tokens = input.tokens(loaded);
    check_tokens(field, &tokens, loaded)?;
    match loaded.model.context_len() {
        Some(context) if tokens.len() > context => Err(Refusal::too_long(field, tokens.len(), 0, context)),
        _ => Ok(tokens),
    }
}

impl Encoding {
    fn encode(self, vector: Vec<f32>) -> Numbers {
        match self {
            Self::Float => Numbers::Float(vector),
            Self::Base64 => {
                let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
                Numbers::Base64(BASE64_STANDARD.encode(bytes))
            }
        }
    }
}
