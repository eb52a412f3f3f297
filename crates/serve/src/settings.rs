//! What a request asks of its texts beside their prompts, whichever surface it came by.
//!
//! ```text
//! fields ─ take ─▶ Settings ─ jobs, with prompts ─▶ Job, n for each prompt
//! ```

use std::{ops::RangeInclusive, sync::Arc};

use itera_runtime::SamplingConfig;
use itera_tokenizer::TokenId;
use serde_json::{Value, json};

use crate::{
    app::at_leisure,
    engine::Engine,
    grammar::{Grammar, Wanted},
    job::{Fork, Job, Logprobs},
    json::{Fields, Texts},
    loaded::Loaded,
    openapi::schema::{Properties, any_of, boolean, integer, list, number, only, or, or_null},
    prompt::check_tokens,
    refusal::Refusal,
    structured::{self, take_structured},
};

/// Texts that stop a text.
const STOPS: usize = 64;

/// Most likely tokens that are told of in the place of each.
pub(crate) const TOP_LOGPROBS: u32 = 20;

const TEMPERATURES: RangeInclusive<f64> = 0.0..=1000.0;
const TOP_PS: RangeInclusive<f64> = 1e-9..=1.0;
const MIN_PS: RangeInclusive<f64> = 0.0..=1.0;
const PENALTIES: RangeInclusive<f64> = 0.01..=100.0;
const BIASES: RangeInclusive<f64> = -100.0..=100.0;

/// What surfaces call otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub prompt: &'static str,
    pub repetition_penalty: &'static str,
    /// Where the request has none.
    pub temperature: f64,
}

/// All that decides a text, but its prompt.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    words: Words,
    pub sampling: SamplingConfig,
    pub stops: Vec<String>,
    /// Texts a prompt.
    pub choices: usize,
    /// `None` is up to the end of the context.
    pub max_tokens: Option<usize>,
    pub logprobs: Option<Logprobs>,
    grammar: Option<Arc<Grammar>>,
    ignores_eos: bool,
    pub is_streamed: bool,
}

impl Settings {
    /// Take the fields that all surfaces have: those of sampling, `stop` and `n`.
    pub fn take(fields: &mut Fields, loaded: &Loaded, words: Words) -> Result<Self, Refusal> {
        let ignores_eos = fields.take("ignore_eos")?.unwrap_or(false);
        let mut settings = Self {
            words,
            sampling: sampling(fields, loaded, words, ignores_eos)?,
            stops: stops(fields)?,
            choices: fields.take::<u32>("n")?.unwrap_or(1) as usize,
            max_tokens: None,
            logprobs: None,
            grammar: None,
            ignores_eos,
            is_streamed: false,
        };
        if let Some(wanted) = take_structured(fields)? {
            settings.keep_to("structured_outputs", wanted, loaded)?;
        }
        Ok(settings)
    }

    /// What [`Self::take`] reads.
    pub fn properties(words: Words) -> Properties {
        let off = SamplingConfig { temperature: words.temperature, ..SamplingConfig::default() };
        let stop = json!({"type": "string", "minLength": 1});
        let stops = json!({"type": "array", "items": stop, "maxItems": STOPS});
        let bias = any_of([number(BIASES), only(&[json!(false)])]);
        let pair = json!({"type": "array", "prefixItems": [integer(0..=u32::MAX), bias], "minItems": 2, "maxItems": 2});
        let by_id =
            json!({"type": "object", "propertyNames": {"pattern": "^[0-9]{1,10}$"}, "additionalProperties": bias});
        vec![
            ("ignore_eos", or(boolean(), false)),
            ("temperature", or(number(TEMPERATURES), off.temperature)),
            ("top_k", or(integer(0..=u32::MAX), off.top_k)),
            ("top_p", or(number(TOP_PS), off.top_p)),
            ("min_p", or(number(MIN_PS), off.min_p)),
            (words.repetition_penalty, or(number(PENALTIES), off.repetition_penalty)),
            ("logit_bias", or_null(any_of([by_id, list(pair)]))),
            ("seed", or(integer(0..=u64::MAX), off.seed)),
            ("stop", or_null(any_of([stop, stops]))),
            ("n", or(integer(1..=u32::MAX), 1)),
            ("structured_outputs", structured::schema()),
        ]
    }

    /// Hold each text to what the field `name` wants it to be.
    pub fn keep_to(&mut self, name: &'static str, wanted: Wanted, loaded: &Loaded) -> Result<(), Refusal> {
        let problem = |what: &str| Refusal::field(name, format!("{name}: {what}"));
        if self.grammar.is_some() {
            return Err(problem("another field says too what the text is to be"));
        }
        if self.ignores_eos {
            return Err(problem("what has an end cannot be had with ignore_eos"));
        }
        let grammars = loaded.grammars().ok_or_else(|| problem("this model's vocabulary is not of bytes"))?;
        let grammar = at_leisure(usize::MAX, || grammars.compile(wanted));
        self.grammar = Some(Arc::new(grammar.map_err(|what| problem(&what))?));
        Ok(())
    }

    /// Tell of each token how likely it was, and of as many of the most likely ones as the field `name` says.
    pub fn with_logprobs(&mut self, name: &'static str, top: u32, of_prompt: bool) -> Result<(), Refusal> {
        if top > TOP_LOGPROBS {
            return Err(Refusal::field(name, format!("{name}: expected 0 to {TOP_LOGPROBS}")));
        }
        self.logprobs = Some(Logprobs { top: top as usize, of_prompt });
        Ok(())
    }

    /// Whether the texts for so many prompts are at most `most`, and one at least.
    pub fn check_texts(&self, prompts: usize, most: usize) -> Result<(), Refusal> {
        if self.choices > 0 && prompts.saturating_mul(self.choices) <= most {
            return Ok(());
        }
        Err(Refusal::field("n", format!("n: expected 1 to {most} texts in all, n for each of {prompts} prompts")))
    }

    /// The texts to write, [`Self::choices`] for each of `prompts`, at most `most_texts` in all.
    pub fn jobs(&self, engine: &Engine, prompts: Vec<Vec<TokenId>>, most_texts: usize) -> Result<Vec<Job>, Refusal> {
        self.check_texts(prompts.len(), most_texts)?;
        let mut jobs = vec![];
        for prompt in prompts {
            let max_tokens = self.max_tokens_after(&prompt, engine.loaded())?;
            // who tells of the prompt's tokens reads them all
            let parts = self.choices > 1 && !self.logprobs.is_some_and(|logprobs| logprobs.of_prompt);
            let fork = parts.then(Fork::default);
            jobs.extend((0..self.choices).map(|choice| Job {
                prompt: prompt.clone(),
                sampling: self.sampling.clone(),
                choice: choice as u64,
                fork: fork.clone(),
                stops: self.stops.clone(),
                max_tokens,
                logprobs: self.logprobs,
                grammar: self.grammar.clone(),
                is_streamed: self.is_streamed,
            }));
        }
        Ok(jobs)
    }

    /// Most tokens after a prompt that the model can continue by as many.
    fn max_tokens_after(&self, prompt: &[TokenId], loaded: &Loaded) -> Result<usize, Refusal> {
        let name = self.words.prompt;
        check_tokens(name, prompt, loaded)?;
        let Some(context) = loaded.model.context_len() else { return Ok(self.max_tokens.unwrap_or(usize::MAX)) };
        let room = context.checked_sub(prompt.len());
        match (room, self.max_tokens) {
            (Some(room), None) if room > 0 => Ok(room),
            (Some(room), Some(max_tokens)) if max_tokens <= room => Ok(max_tokens),
            (_, max_tokens) => Err(Refusal::too_long(name, prompt.len(), max_tokens.unwrap_or(1), context)),
        }
    }
}

fn sampling(fields: &mut Fields, loaded: &Loaded, words: Words, ignores_eos: bool) -> Result<SamplingConfig, Refusal> {
    let off = SamplingConfig { temperature: words.temperature, ..SamplingConfig::default() };
    Ok(SamplingConfig {
        temperature: within(fields, "temperature", off.temperature, TEMPERATURES)?,
        top_k: fields.take::<u32>("top_k")?.map_or(off.top_k, |k| k as usize),
        top_p: within(fields, "top_p", off.top_p, TOP_PS)?,
        min_p: within(fields, "min_p", off.min_p, MIN_PS)?,
        repetition_penalty: within(fields, words.repetition_penalty, off.repetition_penalty, PENALTIES)?,
        logit_bias: logit_bias(fields, loaded, ignores_eos)?,
        seed: fields.take("seed")?.unwrap_or(off.seed),
    })
}

fn within(fields: &mut Fields, name: &'static str, default: f64, range: RangeInclusive<f64>) -> Result<f64, Refusal> {
    let value = fields.take(name)?.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = range.into_inner();
    Err(Refusal::field(name, format!("{name}: expected {least} to {most}, not {value}")))
}

/// Biases of tokens; where it ignores eos, such that the text does not end of itself.
fn logit_bias(fields: &mut Fields, loaded: &Loaded, ignores_eos: bool) -> Result<Vec<(TokenId, f32)>, Refusal> {
    let mut all = vec![];
    for (name, id, bias) in biases(fields.take("logit_bias")?)? {
        let field = format!("logit_bias.{name}");
        let problem = |what: &str| Refusal::field(&field, format!("{field}: expected {what}"));
        let id = id.filter(|id| (*id as usize) < loaded.model.config().vocab_size);
        let id = id.ok_or_else(|| problem("the id of a token of the model"))?;
        let bias = match bias {
            Value::Bool(false) => f32::NEG_INFINITY,
            bias => {
                let bias = bias.as_f64().filter(|bias| BIASES.contains(bias));
                bias.ok_or_else(|| problem("a bias from -100 to 100, or false"))? as f32
            }
        };
        all.push((TokenId(id), bias));
    }
    if ignores_eos {
        let ends = loaded.model.ends(&loaded.tokenizer);
        all.extend(ends.into_iter().map(|id| (id, f32::NEG_INFINITY)));
    }
    Ok(all)
}

/// The entries of an object of ids and biases, or of a list of pairs of them, as llama.cpp has it: what each is called, its id
/// if that is one, and its bias.
fn biases(value: Option<Value>) -> Result<Vec<(String, Option<u32>, Value)>, Refusal> {
    let problem = || Refusal::field("logit_bias", "logit_bias: expected an object, or a list of pairs");
    match value {
        None => Ok(vec![]),
        Some(Value::Object(map)) => {
            let number = |id: &str| id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok()).flatten();
            Ok(map.into_iter().map(|(id, bias)| (id.clone(), number(&id), bias)).collect())
        }
        Some(Value::Array(pairs)) => {
            let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
                Some([id, bias]) => {
                    let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
                    Ok((id.to_string(), number, bias.clone()))
                }
                _ => Err(problem()),
            };
            pairs.iter().map(pair).collect()
        }
        Some(_) => Err(problem()),
    }
}

fn stops(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let Texts(stops) = fields.take("stop")?.unwrap_or_default();
    match stops.len() > STOPS || stops.iter().any(String::is_empty) {
        true => Err(Refusal::field("stop", format!("stop: expected at most {STOPS} texts, none of them empty"))),
        false => Ok(stops),
    }
}
