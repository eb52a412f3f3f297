//! What a request of llama.cpp's API asks of its texts, and how an answer tells that again.

use std::hash::{BuildHasher, Hasher, RandomState};

use itera_runtime::SamplingConfig;
use serde_json::{Value, json};

use crate::{
    grammar::Wanted,
    json::Fields,
    loaded::Loaded,
    openapi::schema::{Properties, any_number, any_of, boolean, count, integer, only, or, or_null, text},
    refusal::Refusal,
    settings::{Settings, TOP_LOGPROBS, Words},
};

/// What llama.cpp calls otherwise. The defaults are those of `itera generate`, not llama.cpp's.
const WORDS: Words = Words { prompt: "prompt", repetition_penalty: "repeat_penalty", temperature: 0.8 };

/// What [`take`] reads.
pub(super) fn properties() -> Properties {
    let mut common = Settings::properties(WORDS);
    common.retain(|(name, _)| !["n", "seed"].contains(name));
    let seed = any_of([integer(0..=u64::MAX), only(&[json!(-1)])]);
    let own = vec![
        ("n", or_null(only(&[json!(1)]))),
        ("seed", or(seed, SamplingConfig::default().seed)),
        ("stream", or(boolean(), false)),
        ("n_predict", or(integer(-1..=i64::MAX), -1)),
        ("max_tokens", or_null(integer(-1..=i64::MAX))),
        ("n_probs", or(integer(0..=TOP_LOGPROBS), 0)),
        ("json_schema", json!({"type": ["object", "boolean", "null"]})),
        ("grammar", or(text(), "")),
        ("cache_prompt", or_null(boolean())),
        ("n_keep", or_null(integer(i64::MIN..=i64::MAX))),
        // -1 alone beside a penalty
        ("repeat_last_n", json!({})),
    ];
    let not_built = not_built().into_iter().map(|(name, nothing)| (name, or_null(only(&nothing)))).collect();
    [common, own, not_built].concat()
}

/// Take all fields but those of the prompt and of the answer.
pub(super) fn take(fields: &mut Fields, loaded: &Loaded) -> Result<Settings, Refusal> {
    fields.only("n", &[json!(1)])?;
    if let Some(seed) = fields.take::<Value>("seed")? {
        // drawn where that is asked for, and told in the answer: the keys of a hash map are the system's random numbers
        let drawn = || Value::from(RandomState::new().build_hasher().finish() as u32);
        fields.add("seed", if seed == json!(-1) { drawn() } else { seed })?;
    }
    let mut settings = Settings::take(fields, loaded, WORDS)?;
    settings.is_streamed = fields.take("stream")?.unwrap_or(false);
    settings.max_tokens = max_tokens(fields)?;
    if let Some(top) = fields.take("n_probs")?.filter(|top| *top > 0) {
        settings.with_logprobs("n_probs", top, false)?;
    }
    if let Some(schema) = fields.take("json_schema")? {
        settings.keep_to("json_schema", Wanted::Schema(schema), loaded)?;
    }
    if let Some(grammar) = fields.take::<String>("grammar")?.filter(|grammar| !grammar.is_empty()) {
        settings.keep_to("grammar", Wanted::Gbnf(grammar), loaded)?;
    }
    take_idle(fields, settings.sampling.repetition_penalty != 1.0)?;
    Ok(settings)
}

/// `n_predict`, once `max_tokens`: -1, and nothing, is up to the end of the context.
fn max_tokens(fields: &mut Fields) -> Result<Option<usize>, Refusal> {
    let (name, most) = match (fields.take::<i64>("n_predict")?, fields.take::<i64>("max_tokens")?) {
        (Some(_), Some(_)) => return Err(Refusal::field("max_tokens", "max_tokens: n_predict is there too")),
        (Some(most), None) => ("n_predict", most),
        (None, Some(most)) => ("max_tokens", most),
        (None, None) => return Ok(None),
    };
    match most {
        -1 => Ok(None),
        most => usize::try_from(most).map(Some).map_err(|_| {
            Refusal::field(name, format!("{name}: expected a number of tokens, or -1 for as many as there is room for"))
        }),
    }
}

/// Take what changes no answer, and what is not built, of which only the values that ask for nothing.
fn take_idle(fields: &mut Fields, has_penalty: bool) -> Result<(), Refusal> {
    fields.take::<bool>("cache_prompt")?;
    // what stays when a text is moved within its context, which none is
    fields.take::<i64>("n_keep")?;
    // tokens that the penalty looks back on: all
    let all = [json!(-1)];
    let last = fields.take::<Value>("repeat_last_n")?.filter(|last| has_penalty && !all.contains(last));
    if last.is_some() {
        return Err(Refusal::field("repeat_last_n", "repeat_last_n: expected -1: the penalty is for all tokens"));
    }
    not_built().into_iter().try_for_each(|(name, nothing)| fields.only(name, &nothing))
}

/// What is not built, and the values that ask for nothing.
fn not_built() -> [(&'static str, Vec<Value>); 20] {
    let zero = || vec![json!(0), json!(0.0)];
    [
        ("id_slot", vec![json!(-1)]),
        // as it was once called, and its own clients still do
        ("slot_id", vec![json!(-1)]),
        ("n_indent", zero()),
        ("min_keep", zero()),
        ("t_max_predict_ms", vec![json!(0), json!(-1)]),
        ("typical_p", vec![json!(1), json!(1.0)]),
        ("top_n_sigma", vec![json!(-1), json!(-1.0)]),
        ("xtc_probability", zero()),
        ("dynatemp_range", zero()),
        ("presence_penalty", zero()),
        ("frequency_penalty", zero()),
        ("dry_multiplier", zero()),
        ("mirostat", zero()),
        ("lora", vec![json!([])]),
        ("samplers", vec![]),
        ("image_data", vec![json!([])]),
        ("response_fields", vec![json!([])]),
        ("timings_per_token", vec![json!(false)]),
        ("return_progress", vec![json!(false)]),
        ("post_sampling_probs", vec![json!(false)]),
    ]
}

/// The settings of a text, as llama.cpp tells them.
pub(super) fn told(sampling: &SamplingConfig) -> Value {
    json!({
        "seed": sampling.seed,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_last_n": -1,
        "repeat_penalty": sampling.repetition_penalty,
    })
}

/// What [`told`] tells.
pub(super) fn told_properties() -> Properties {
    vec![
        ("seed", count()),
        ("temperature", any_number()),
        ("top_k", count()),
        ("top_p", any_number()),
        ("min_p", any_number()),
        ("repeat_last_n", only(&[json!(-1)])),
        ("repeat_penalty", any_number()),
    ]
}

/// Those of a request that has none.
pub(super) fn usual() -> Value {
    told(&SamplingConfig { temperature: WORDS.temperature, ..SamplingConfig::default() })
}
