//! logits → processors → token
//!
//! ```text
//! logit bias → mask → repetition penalty → temperature → top-k → top-p → min-p → draw
//! ```
//!
//! A [`LogitsProcessor`] changes logits or excludes tokens by −∞; a [`Sampler`] runs its processors in order and draws
//! from the softmax of what is left, or takes the most likely token. Choices are a function of (seed, index, how many
//! were made before), so a seed gives the same text wherever the logits are the same.

mod processors;
mod ranked;

use itera_kernels::decode::{likeliest, likelihoods};
use itera_shape::rng::{Purpose, Stream, stream};
use itera_tokenizer::TokenId;
use rand::RngExt;

pub use processors::{LogitBias, LogitsProcessor, MinP, RepetitionPenalty, Temperature, TopK, TopP};
use ranked::Ranked;

/// How to choose the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingConfig {
    /// Divides the logits; 0, and anything below 10⁻²⁰, takes the most likely token (ties to the lowest id).
    pub temperature: f64,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest most likely tokens whose probabilities reach this (arXiv 1904.09751); 1 keeps all.
    pub top_p: f64,
    /// Keep tokens at least this likely, relative to the most likely one (arXiv 2407.01082); 0 keeps all.
    pub min_p: f64,
    /// Divides positive and multiplies negative logits of tokens already in the text (arXiv 1909.05858); 1 is off.
    pub repetition_penalty: f64,
    /// Added to the logits of some tokens before all else; −∞ excludes a token.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Seed of the choices.
    pub seed: u64,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            logit_bias: vec![],
            seed: 42,
        }
    }
}

/// Least temperature that logits are divided by. A lower one would leave no other token either, but might overflow.
const COLDEST: f32 = 1e-20;

/// Chooses the tokens of one text.
#[derive(Debug)]
pub struct Sampler {
    processors: Vec<Box<dyn LogitsProcessor>>,
    /// None takes the most likely token.
    rng: Option<Stream>,
    weights: Vec<f32>,
}

impl Sampler {
    /// The sampler of text number `index`; texts of one seed are independent.
    pub fn new(config: &SamplingConfig, index: u64) -> Self {
        Self::masked(config, index, None)
    }

    /// The same, of the tokens that `mask` leaves: what it excludes is excluded before anything but biases has looked at it.
    pub fn masked(config: &SamplingConfig, index: u64, mask: Option<Box<dyn LogitsProcessor>>) -> Self {
        let mut processors: Vec<Box<dyn LogitsProcessor>> = vec![];
        if !config.logit_bias.is_empty() {
            processors.push(Box::new(LogitBias(config.logit_bias.clone())));
        }
        processors.extend(mask);
        if config.repetition_penalty != 1.0 {
            processors.push(Box::new(RepetitionPenalty::new(config.repetition_penalty as f32)));
        }
        let temperature = config.temperature as f32;
        if temperature < COLDEST {
            return Self::likeliest(processors);
        }
        if config.temperature != 1.0 {
            processors.push(Box::new(Temperature(temperature)));
        }
        if config.top_k > 0 {
            processors.push(Box::new(TopK::new(config.top_k)));
        }
        if config.top_p < 1.0 {
            processors.push(Box::new(TopP::new(config.top_p)));
        }
        if config.min_p > 0.0 {
            processors.push(Box::new(MinP(config.min_p)));
        }
        Self::drawing(processors, config.seed, index)
    }

    /// Takes the most likely token that `processors` leave, ties to the lowest id.
    pub fn likeliest(processors: Vec<Box<dyn LogitsProcessor>>) -> Self {
        Self { processors, rng: None, weights: vec![] }
    }

    /// Draws from what `processors` leave, for text number `index` of `seed`.
    pub fn drawing(processors: Vec<Box<dyn LogitsProcessor>>, seed: u64, index: u64) -> Self {
        Self { processors, rng: Some(stream(seed, Purpose::Sampling, index)), weights: vec![] }
    }

    /// Choose a token by its `logits`, given the ids already in the text. The logits are used up.
    pub fn choose(&mut self, logits: &mut [f32], seen: &[TokenId]) -> TokenId {
        for processor in &mut self.processors {
            processor.process(logits, seen);
        }
        let likeliest = likeliest(logits) as u32;
        let Some(rng) = &mut self.rng else { return TokenId(likeliest) };
        let random = rng.random::<f64>();
        if !logits.get(likeliest as usize).is_some_and(|logit| logit.is_finite()) {
            return TokenId(likeliest);
        }
        self.weights.resize(logits.len(), 0.0);
        let total = likelihoods(logits, 1.0, &mut self.weights);
        let mut draw = random * total;
        let mut last = likeliest;
        for id in Ranked::new(logits) {
            last = id;
            draw -= f64::from(self.weights[id as usize]);
            if draw < 0.0 {
                break;
            }
        }
        TokenId(last)
    }
}

#[cfg(test)]
mod tests;
