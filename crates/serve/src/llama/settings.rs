//! What a request of llama.cpp's API asks of its texts, and how an answer tells that again.

use std::hash::{BuildHasher, Hasher, RandomState};

use itera_runtime::SamplingConfig;
use serde_json::{Value, json};

use crate::{
    grammar::Wanted,
    json::Fields,
    loaded::Loaded,
    refusal::Refusal,
    settings::{Settings, Words},
};

/// What llama.cpp calls otherwise. The defaults are those of `itera generate`, not llama.cpp's.
const WORDS: Words = Words { prompt: "prompt", repetition_penalty: "repeat_penalty", temperature: 0.8 };

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
    take_idle(fields, settings.sampling.repetition_penalty != 1.0)?;
    Ok(settings)
}

/// `n_predict`, once `max_tokens`: -1, and nothing, is up to the end of the context.
fn max_tokens(fields: &mut Fields) -> Result<Option<usize>, Refusal> {
    let name = if fields.has("n_predict") { "n_predict" } else { "max_tokens" };
    match fields.take::<i64>(name)? {
        None | Some(-1) => Ok(None),
        Some(most) => usize::try_from(most).map(Some).map_err(|_| {
            Refusal::field(name, format!("{name}: expected a number of tokens, or -1 for as many as there is room for"))
        }),
    }
}

/// Take what changes no answer, and what is not built, of which only the values that ask for nothing.
fn take_idle(fields: &mut Fields, has_penalty: bool) -> Result<(), Refusal> {
    fields.take::<bool>("cache_prompt")?;
    let (zero, one) = (&[json!(0), json!(0.0)][..], &[json!(1), json!(1.0)][..]);
    // tokens that the penalty looks back on: all
    let all = [json!(-1)];
    let last = fields.take::<Value>("repeat_last_n")?.filter(|last| has_penalty && !all.contains(last));
    if last.is_some() {
        return Err(Refusal::field("repeat_last_n", "repeat_last_n: expected -1: the penalty is for all tokens"));
    }
    for (name, nothing) in [
        ("id_slot", &[json!(-1)][..]),
        ("n_keep", zero),
        ("n_indent", zero),
        ("min_keep", zero),
        ("t_max_predict_ms", &[json!(0), json!(-1)]),
        ("typical_p", one),
        ("top_n_sigma", &[json!(-1), json!(-1.0)]),
        ("xtc_probability", zero),
        ("dynatemp_range", zero),
        ("presence_penalty", zero),
        ("frequency_penalty", zero),
        ("dry_multiplier", zero),
        ("mirostat", zero),
        ("grammar", &[json!("")]),
        ("lora", &[json!([])]),
        ("samplers", &[]),
        ("image_data", &[json!([])]),
        ("response_fields", &[json!([])]),
        ("timings_per_token", &[json!(false)]),
        ("return_progress", &[json!(false)]),
        ("post_sampling_probs", &[json!(false)]),
    ] {
        fields.only(name, nothing)?;
    }
    Ok(())
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

/// Those of a request that has none.
pub(super) fn usual() -> Value {
    told(&SamplingConfig { temperature: WORDS.temperature, ..SamplingConfig::default() })
}
