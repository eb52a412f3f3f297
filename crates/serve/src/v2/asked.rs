//! The texts that a request asks for, whether by tensors or by JSON.

use std::sync::Arc;

use itera_tokenizer::TokenId;
use serde_json::{Map, Value, json};

use crate::{
    answer::unique,
    app::{App, at_leisure},
    engine::Engine,
    json::{Fields, Texts, parse},
    openapi::schema::{Properties, any_of, boolean, integer, only, or, or_null, some, text},
    outbox::Reader,
    refusal::Refusal,
    sequences::Part,
    settings::{Settings, Words},
    v2::{
        output::{Output, Written, outputs},
        sequence::{self, UnderWay},
    },
};

/// What this surface calls what all surfaces have.
const WORDS: Words = Words { prompt: "text_input", repetition_penalty: "repetition_penalty", temperature: 1.0 };

/// Most tokens of a text that does not say how many.
const MAX_TOKENS: usize = 16;

/// Texts that are asked for.
pub(super) struct Asked {
    pub engine: Arc<Engine>,
    /// Which the answer is to have too; where something may be said of it, it has one in any case.
    pub id: Option<String>,
    settings: Settings,
    /// Their tokens; of a part of a sequence that is not the first, without bos.
    prompts: Vec<Vec<TokenId>>,
    /// What each text begins with: its prompt, where that is asked for too.
    pub echoes: Vec<String>,
    part: Option<Part>,
}

/// Texts that an engine writes.
pub(super) struct Begun {
    pub readers: Vec<Reader>,
    pub sequence: Option<UnderWay>,
}

/// What is not built, and the values that ask for nothing.
const PENALTIES: [&str; 2] = ["presence_penalty", "frequency_penalty"];

fn nothing() -> [Value; 2] {
    [json!(0), json!(0.0)]
}

impl Asked {
    /// What [`Self::take`] reads. Of `text_input` there is one somewhere.
    pub fn properties(is_streamed: bool) -> Properties {
        let own = vec![
            ("text_input", any_of([text(), some(text())])),
            ("sampling_parameters", json!({"type": ["object", "string", "null"]})),
            ("stream", or_null(only(&[json!(is_streamed)]))),
            ("max_tokens", or(integer(0..=u32::MAX), MAX_TOKENS)),
            ("exclude_input_in_output", or(boolean(), true)),
        ];
        let penalties = PENALTIES.map(|penalty| (penalty, or_null(only(&nothing())))).to_vec();
        [own, sequence::properties(), Settings::properties(WORDS), penalties].concat()
    }

    /// Take the fields of a text, and no others, from those that are left.
    pub fn take(
        app: &App,
        engine: Arc<Engine>,
        id: Option<String>,
        mut fields: Fields,
        is_streamed: bool,
    ) -> Result<Self, Refusal> {
        if let Some(more) = fields.take::<Value>("sampling_parameters")? {
            fields.add_all(sampling_parameters(more)?)?;
        }
        fields.only("stream", &[json!(is_streamed)])?;
        let loaded = engine.loaded();
        let Texts(prompts) = fields.take("text_input")?.ok_or_else(|| problem("text_input", "is missing"))?;
        if prompts.is_empty() {
            return Err(problem("text_input", "expected one text at least"));
        }
        let mut settings = Settings::take(&mut fields, loaded, WORDS)?;
        settings.is_streamed = is_streamed;
        settings.max_tokens = Some(fields.take::<u32>("max_tokens")?.map_or(MAX_TOKENS, |most| most as usize));
        let is_echoed = !fields.take("exclude_input_in_output")?.unwrap_or(true);
        for penalty in PENALTIES {
            fields.only(penalty, &nothing())?;
        }
        let part = sequence::take(&mut fields)?;
        fields.done()?;
        if part.is_some() && (prompts.len(), settings.choices) != (1, 1) {
            return Err(problem("sequence_id", "a request of a sequence has one text"));
        }
        settings.check_texts(prompts.len(), app.texts())?;
        let id = match app.feedback() {
            None => id,
            Some(_) => id.filter(|id| !id.is_empty()).or_else(|| Some(unique("infer"))),
        };
        let goes_on = part.as_ref().is_some_and(|part| !part.is_start);
        let tokens = |prompt: &String| match goes_on {
            true => loaded.tokenizer.encode(prompt),
            false => loaded.tokens(prompt),
        };
        let tokens = prompts.iter().map(tokens).collect();
        let echo = |prompt: String| if is_echoed { prompt } else { String::new() };
        let echoes = prompts.into_iter().flat_map(|prompt| vec![echo(prompt); settings.choices]).collect();
        Ok(Self { engine, id, settings, prompts: tokens, echoes, part })
    }

    /// Have the texts written, once it is the turn of the request.
    pub async fn begin(&mut self, app: &App) -> Result<Begun, Refusal> {
        let (engine, mut prompts) = (self.engine.clone(), std::mem::take(&mut self.prompts));
        let mut sequence = None;
        if let Some(part) = self.part.take() {
            let loaded = engine.loaded();
            let turn = app.sequences().turn(loaded, part.clone()).await;
            let turn = turn.map_err(|why| sequence::refused(why, &part, &loaded.name))?;
            let prompt = [turn.before(), &prompts.concat()].concat();
            prompts = vec![prompt.clone()];
            sequence = Some(UnderWay { turn, prompt });
        }
        let len = prompts.iter().map(Vec::len).sum();
        let jobs = at_leisure(len, || self.settings.jobs(&engine, prompts, app.texts()))?;
        let readers = engine.submit(jobs)?;
        Ok(Begun { readers, sequence })
    }

    /// The outputs for all texts, each after its echo, once they have ended; of which something may be said then.
    pub async fn outputs(mut self, app: &App) -> Result<Vec<Output>, Refusal> {
        let Begun { readers, mut sequence } = self.begin(app).await?;
        let mut texts = vec![];
        for (reader, echo) in readers.into_iter().zip(std::mem::take(&mut self.echoes)) {
            let (ended, _) = reader.whole().await?;
            texts.push(Written::new(echo, &ended));
            if let Some(sequence) = sequence.take() {
                sequence.end(&ended);
            }
        }
        self.answered(app, texts.len());
        Ok(outputs(texts))
    }

    /// There is an answer of so many texts, of which something may be said.
    pub fn answered(&self, app: &App, choices: usize) {
        if let (Some(feedback), Some(id)) = (app.feedback(), &self.id) {
            feedback.answered(id, self.engine.loaded(), choices);
        }
    }
}

fn problem(name: &str, what: &str) -> Refusal {
    Refusal::field(name, format!("{name}: {what}"))
}

/// The fields that a text of JSON has, as vLLM's backend of Triton takes them; or an object of them.
fn sampling_parameters(value: Value) -> Result<Map<String, Value>, Refusal> {
    let object = match value {
        Value::String(text) => parse::<Fields>(text.as_bytes()).map(Fields::into_left),
        Value::Object(object) => Ok(object),
        _ => Err(Refusal::bad("expected an object")),
    };
    object.map_err(|refusal| problem("sampling_parameters", refusal.message()))
}
