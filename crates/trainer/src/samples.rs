//! weights in training → runtime → continuations of the configured prompts
//!
//! Samples are made by the program that will run the model, so a run shows what `itera generate` will.

use itera_config::Config;
use itera_metrics::Sample;
use itera_model::LanguageModel;
use itera_runtime::{CompletionConfig, Continuation, Model, RuntimeError, Sampler, SamplingConfig};
use itera_shape::{NamedTensor, TensorRef};
use itera_tokenizer::Tokenizer;

use crate::error::TrainError;

/// Continue each of `eval.prompts` by the model that `step` steps have made.
pub(crate) fn samples(
    model: &LanguageModel,
    step: u64,
    config: &Config,
    tokenizer: &Tokenizer,
) -> Result<Vec<Sample>, TrainError> {
    let failed = |prompt: &str| {
        let prompt = prompt.to_owned();
        move |source: RuntimeError| TrainError::Sample { prompt, source: source.into() }
    };
    let Some(first) = config.eval.prompts.first() else { return Ok(vec![]) };
    let model = in_runtime(model, tokenizer).map_err(failed(first))?;
    let sampling = SamplingConfig {
        temperature: config.eval.sample_temperature,
        seed: config.run.seed,
        ..SamplingConfig::default()
    };
    let length = CompletionConfig { max_tokens: config.eval.sample_tokens, stop: vec![] };
    let mut work = model.workspace();
    let sample = |(index, prompt): (u64, &String)| {
        let mut sampler = Sampler::new(&sampling, index);
        let completion = model
            .complete(tokenizer, prompt, &length, &mut sampler, &mut work, |_| Continuation::More)
            .map_err(failed(prompt))?;
        Ok(Sample { step, prompt: prompt.clone(), text: completion.text })
    };
    (0..).zip(&config.eval.prompts).map(sample).collect()
}

fn in_runtime(model: &LanguageModel, tokenizer: &Tokenizer) -> Result<Model, RuntimeError> {
    let parameters = model.parameters();
    let tensors: Vec<TensorRef<'_>> = parameters.iter().map(NamedTensor::as_ref).collect();
    Model::from_tensors(model.config(), tokenizer.special_ids(), &tensors)
}
