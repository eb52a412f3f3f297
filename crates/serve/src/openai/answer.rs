//! Texts as an answer of OpenAI's API, whole or as they are written.

use std::sync::Arc;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use itera_runtime::TokenLogprob;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    answer::{Head, Usage},
    app::App,
    engine::Engine,
    events::{EVENTS, Teller, events},
    job::Job,
    json::Fields,
    openai::{choice::Choice, form::Form, logprobs::Lister},
    openapi::{
        Operation,
        schema::{Properties, boolean, exactly, list, object, or, or_null},
    },
    outbox::{Ended, Reader},
    refusal::Refusal,
    settings::Settings,
};

/// What a request asks for, all checked.
pub(super) struct Asked {
    pub engine: Arc<Engine>,
    pub form: Form,
    pub settings: Settings,
    pub stream: Stream,
    pub jobs: Vec<Job>,
    /// What each text begins with: its prompt, where that is asked for too.
    pub echoes: Vec<String>,
}

/// How texts are streamed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    /// Whether the last event counts tokens.
    with_usage: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl Stream {
    /// What [`Self::take`] reads.
    pub fn properties() -> Properties {
        let options = object(vec![("include_usage", or(boolean(), false))]);
        vec![("stream", or(boolean(), false)), ("stream_options", or_null(options))]
    }

    /// Take `stream` and `stream_options`.
    pub fn take(fields: &mut Fields, settings: &mut Settings) -> Result<Self, Refusal> {
        settings.is_streamed = fields.take("stream")?.unwrap_or(false);
        let Some(options) = fields.take::<StreamOptions>("stream_options")? else { return Ok(Self::default()) };
        match settings.is_streamed {
            true => Ok(Self { with_usage: options.include_usage == Some(true) }),
            false => Err(Refusal::field("stream_options", "stream_options: only a stream has them")),
        }
    }
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    head: Head,
    choices: Vec<Choice>,
    usage: Usage,
}

/// An operation that takes `request` and answers texts, whole or as they are written.
pub(super) fn operation(summary: &'static str, form: Form, name: &'static str, request: Value) -> Operation {
    let rest = vec![("choices", list(Choice::schema(form))), ("usage", Usage::schema())];
    let answer = exactly([Head::properties(form.object(false)), rest].concat());
    Operation::new(summary).takes(name, request).answers(answer).answers_other(EVENTS).computed()
}

impl Asked {
    /// Have the texts written.
    pub async fn answer(self, app: &App) -> Result<Response, Refusal> {
        let Self { engine, form, settings, stream, jobs, echoes } = self;
        let readers = engine.submit(jobs)?;
        let loaded = engine.loaded();
        let object = form.object(settings.is_streamed);
        let head = Head::new(form.prefix(), object, &loaded.name, &loaded.fingerprint);
        if let Some(feedback) = app.feedback() {
            feedback.answered(&head.id, loaded, readers.len());
        }
        let lister = || settings.logprobs.map(|_| Lister::new(engine.shared(), form));
        let mut texts = echoes.into_iter().map(|echo| Text { echo: Some(echo), lister: lister() });
        if settings.is_streamed {
            return Ok(events(readers, Chunks::new(&head, form, texts.collect(), settings.choices, stream)));
        }
        let mut answer = Answer { head, choices: vec![], usage: Usage::default() };
        for (index, reader) in readers.into_iter().enumerate() {
            let text = texts.next().unwrap_or_default();
            answer.choices.push(text.whole(form, index, reader, settings.choices, &mut answer.usage).await?);
        }
        Ok(Json(answer).into_response())
    }
}

/// What is told of a text beside what the engine writes.
#[derive(Default)]
struct Text {
    /// What it begins with; `None` once that was told.
    echo: Option<String>,
    /// Tells how likely its tokens were, where that is asked for.
    lister: Option<Lister>,
}

impl Text {
    async fn whole(
        mut self,
        form: Form,
        index: usize,
        reader: Reader,
        choices: usize,
        usage: &mut Usage,
    ) -> Result<Choice, Refusal> {
        let (ended, tokens) = reader.whole().await?;
        usage.add(&ended, index.is_multiple_of(choices));
        let text = self.echo.unwrap_or_default() + &ended.completion.text;
        let logprobs = self.lister.as_mut().map(|lister| lister.list(&tokens));
        Ok(Choice::whole(form, index, text, logprobs, ended.completion.finish_reason))
    }
}

/// Tells of texts in chunks of an answer.
struct Chunks {
    /// A chunk up to its choices, without the brace that ends the object.
    head: String,
    form: Form,
    texts: Vec<Text>,
    /// Texts a prompt.
    choices: usize,
    stream: Stream,
    usage: Usage,
}

impl Chunks {
    fn new(head: &Head, form: Form, texts: Vec<Text>, choices: usize, stream: Stream) -> Self {
        let mut head = serde_json::to_string(head).expect("strings and numbers are JSON");
        head.pop();
        Self { head, form, texts, choices, stream, usage: Usage::default() }
    }

    fn chunk(&self, choices: &str, usage: &str) -> String {
        let usage = if self.stream.with_usage { format!(",\"usage\":{usage}") } else { String::new() };
        format!("{},\"choices\":[{choices}]{usage}}}", self.head)
    }
}

impl Teller for Chunks {
    fn piece(&mut self, index: usize, text: String, tokens: &[TokenLogprob], end: Option<&Ended>) -> String {
        if let Some(ended) = end {
            self.usage.add(ended, index.is_multiple_of(self.choices));
        }
        let of_text = &mut self.texts[index];
        let echo = of_text.echo.take();
        let is_first = echo.is_some();
        let text = match echo {
            Some(echo) if !echo.is_empty() => echo + &text,
            _ => text,
        };
        let logprobs = of_text.lister.as_mut().map(|lister| lister.list(tokens));
        let reason = end.and_then(|ended| ended.completion.finish_reason);
        let choice = Choice::piece(self.form, index, text, is_first, logprobs, reason);
        self.chunk(&serde_json::to_string(&choice).expect("strings and numbers are JSON"), "null")
    }

    fn last(&mut self) -> Vec<String> {
        let usage = || serde_json::to_string(&self.usage).expect("numbers are JSON");
        let usage = self.stream.with_usage.then(|| self.chunk("", &usage()));
        usage.into_iter().chain(["[DONE]".to_owned()]).collect()
    }

    fn lost(&self, refusal: &Refusal) -> String {
        refusal.to_json()
    }
}
