//! The texts that a request asks for, whether by tensors or by JSON.

use serde_json::{Map, Value, json};

use crate::{
    app::App,
    engine::Engine,
    job::Job,
    json::{Fields, Texts, parse},
    openapi::schema::{Properties, any_of, boolean, integer, only, or, or_null, some, text},
    refusal::Refusal,
    settings::{Settings, Words},
    v2::output::{Output, Written, outputs},
};

/// What this surface calls what all surfaces have.
const WORDS: Words = Words { prompt: "text_input", repetition_penalty: "repetition_penalty", temperature: 1.0 };

/// Most tokens of a text that does not say how many.
const MAX_TOKENS: usize = 16;

/// Texts to write, all checked.
pub(super) struct Asked<'a> {
    pub engine: &'a Engine,
    /// Which the answer is to have too.
    pub id: Option<String>,
    pub jobs: Vec<Job>,
    /// What each text begins with: its prompt, where that is asked for too.
    pub echoes: Vec<String>,
}

/// What is not built, and the values that ask for nothing.
const PENALTIES: [&str; 2] = ["presence_penalty", "frequency_penalty"];

fn nothing() -> [Value; 2] {
    [json!(0), json!(0.0)]
}

impl<'a> Asked<'a> {
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
        [own, Settings::properties(WORDS), penalties].concat()
    }

    /// Take the fields of a text, and no others, from those that are left.
    pub fn take(
        app: &App,
        engine: &'a Engine,
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
        fields.done()?;
        let tokens = prompts.iter().map(|prompt| loaded.tokens(prompt)).collect();
        let jobs = settings.jobs(engine, tokens, app.texts())?;
        let echo = |prompt: String| if is_echoed { prompt } else { String::new() };
        let echoes = prompts.into_iter().flat_map(|prompt| vec![echo(prompt); settings.choices]).collect();
        Ok(Self { engine, id, jobs, echoes })
    }
}

/// The outputs for all of `jobs`, each text after its echo, once they have ended.
pub(super) async fn written(engine: &Engine, jobs: Vec<Job>, echoes: Vec<String>) -> Result<Vec<Output>, Refusal> {
    let mut texts = vec![];
    for (reader, echo) in engine.submit(jobs)?.into_iter().zip(echoes) {
        let (ended, _) = reader.whole().await?;
        texts.push(Written::new(echo, &ended));
    }
    Ok(outputs(texts))
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
