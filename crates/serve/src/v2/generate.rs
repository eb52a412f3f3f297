//! `POST /v2/models/{model}/generate` and `generate_stream`: JSON in, JSON or events out.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use itera_runtime::TokenLogprob;
use serde_json::{Map, Value};

use crate::{
    app::App,
    events::{EVENTS, Teller, events},
    json::Fields,
    openapi::{
        Operation,
        schema::{any_of, count, list, object, one_of, or_null, text, with_required},
    },
    outbox::Ended,
    refusal::Refusal,
    v2::{
        asked::{Asked, Begun},
        output::{Written, as_fields, outputs},
        sequence::UnderWay,
        which::Which,
    },
};

/// What [`generate`] takes and answers.
pub(super) fn operation() -> Operation {
    let one_or_more = |schema: Value| any_of([schema.clone(), list(schema)]);
    let answer = vec![
        ("id", text()),
        ("model_name", text()),
        ("model_version", text()),
        ("text_output", one_or_more(text())),
        ("finish_reason", one_or_more(one_of(&["stop", "length", ""]))),
        ("num_input_tokens", one_or_more(count())),
        ("num_output_tokens", one_or_more(count())),
    ];
    let always: Vec<&str> = answer.iter().map(|(name, _)| *name).filter(|name| *name != "id").collect();
    Operation::new("Continue prompts")
        .takes("GenerateRequest", request(false))
        .answers(with_required(answer, &always))
        .computed()
}

/// What [`generate_stream`] takes and answers.
pub(super) fn stream_operation() -> Operation {
    Operation::new("Continue a prompt, and tell the text as it is written")
        .takes("GenerateStreamRequest", request(true))
        .answers_other(EVENTS)
        .computed()
}

/// What [`asked`] reads.
fn request(is_streamed: bool) -> Value {
    let fields = || Asked::properties(is_streamed);
    object([vec![("id", or_null(text())), ("parameters", or_null(object(fields())))], fields()].concat())
}

pub(super) async fn generate(
    State(app): State<Arc<App>>,
    which: Which,
    request: Request,
) -> Result<Json<Map<String, Value>>, Refusal> {
    let asked = app.read(request, |fields| asked(&app, &which, fields, false)).await?;
    let mut answer = head(&asked);
    answer.extend(as_fields(&asked.outputs(&app).await?));
    Ok(Json(answer))
}

pub(super) async fn generate_stream(
    State(app): State<Arc<App>>,
    which: Which,
    request: Request,
) -> Result<Response, Refusal> {
    let mut asked = app.read(request, |fields| asked(&app, &which, fields, true)).await?;
    if asked.echoes.len() != 1 {
        return Err(Refusal::field("n", "n: a stream has one text"));
    }
    let Begun { readers, sequence } = asked.begin(&app).await?;
    asked.answered(&app, readers.len());
    let (head, echo) = (head(&asked), asked.echoes.concat());
    Ok(events(readers, Told { head, echo, sequence }))
}

/// The fields of a text may lie in `parameters` too.
fn asked(app: &App, which: &Which, mut fields: Fields, is_streamed: bool) -> Result<Asked, Refusal> {
    let engine = which.engine(app)?;
    let id = fields.take("id")?;
    let parameters: Map<String, Value> = fields.take("parameters")?.unwrap_or_default();
    fields.add_all(parameters)?;
    Asked::take(app, engine, id, fields, is_streamed)
}

/// What an answer, and each event, begins with.
fn head(asked: &Asked) -> Map<String, Value> {
    let id = asked.id.iter().map(|id| ("id".to_owned(), Value::from(id.as_str())));
    let loaded = asked.engine.loaded();
    let (name, version) = (loaded.name.as_str(), loaded.version.to_string());
    let model = [("model_name".to_owned(), name.into()), ("model_version".to_owned(), version.into())];
    id.chain(model).collect()
}

/// Tells of a text: each event has a piece more, and the last what there is to say at its end.
struct Told {
    head: Map<String, Value>,
    /// What was not told yet of what the text begins with.
    echo: String,
    /// What it is a part of, as long as it has not ended.
    sequence: Option<UnderWay>,
}

impl Teller for Told {
    fn piece(&mut self, _: usize, text: String, _: &[TokenLogprob], end: Option<&Ended>) -> String {
        let mut event = self.head.clone();
        if let Some(ended) = end {
            if let Some(sequence) = self.sequence.take() {
                sequence.end(ended);
            }
            event.extend(as_fields(&outputs(vec![Written::new(String::new(), ended)])));
        }
        let text = std::mem::take(&mut self.echo) + &text;
        event.insert("text_output".into(), text.into());
        Value::from(event).to_string()
    }

    fn last(&mut self) -> Vec<String> {
        vec![]
    }

    fn lost(&self, refusal: &Refusal) -> String {
        refusal.to_short_json()
    }
}
