//! weights in training → runtime → continuations of the configured prompts
//!
//! Samples are made by the program that will run the model, so a run shows what `itera generate` will.

use itera_config::Config;
use itera_metrics::Sample;
use itera_model::LanguageModel;
use itera_runtime::{Batch, Model, RuntimeError, Sampler, SamplingConfig, Text};
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
    let begin = |(index, prompt): (u64, &String)| {
        let text = Text::new(&model, tokenizer, prompt).map_err(failed(prompt))?;
        Ok(text.with_sampler(Sampler::new(&sampling, index)).with_max_tokens(config.eval.sample_tokens))
    };
    let texts = (0..).zip(&config.eval.prompts).map(begin).collect::<Result<_, TrainError>>()?;
    let completions = Batch::new(&model).complete(texts);
    let samples = config.eval.prompts.iter().zip(completions);
    Ok(samples.map(|(prompt, completion)| Sample { step, prompt: prompt.clone(), text: completion.text }).collect())
}

fn in_runtime(model: &LanguageModel, tokenizer: &Tokenizer) -> Result<Model, RuntimeError> {
    let parameters = model.parameters();
    let tensors: Vec<TensorRef<'_>> = parameters.iter().map(NamedTensor::as_ref).collect();
    Model::from_tensors(model.config(), tokenizer.special_ids(), &tensors)
}
