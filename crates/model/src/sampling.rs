//! logits → repetition penalty → temperature → top-k → top-p → token

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::rng::{Purpose, stream};

/// How to choose the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingConfig {
    /// Divides the logits; 0 takes the most likely token (ties to the lowest id).
    pub temperature: f64,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest most likely tokens whose probabilities reach this (arXiv 1904.09751); 1 keeps all.
    pub top_p: f64,
    /// Divides positive and multiplies negative logits of tokens already in the text (arXiv 1909.05858); 1 is off.
    pub repetition_penalty: f64,
    /// Seed of the choices.
    pub seed: u64,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self { temperature: 0.8, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 42 }
    }
}

/// Chooses tokens of one text.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplingConfig,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// The sampler of text number `index`; texts of one seed are independent.
    pub fn new(config: SamplingConfig, index: u64) -> Self {
        let rng = stream(config.seed, Purpose::Sampling, index);
        Self { config, rng }
    }

    /// Choose a token by its `logits`, given the ids already in the text.
    pub fn choose(&mut self, logits: &mut [f32], seen: &[u32]) -> u32 {
        self.penalise(logits, seen);
        if self.config.temperature == 0.0 {
            return argmax(logits);
        }
        // most likely first; equal logits keep the order of their ids
        let mut ranked: Vec<u32> = (0..logits.len() as u32).collect();
        ranked.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
        if self.config.top_k > 0 {
            ranked.truncate(self.config.top_k);
        }
        let top = f64::from(logits[ranked[0] as usize]);
        let mut weights: Vec<f64> =
            ranked.iter().map(|&id| ((f64::from(logits[id as usize]) - top) / self.config.temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut reached = 0.0;
        let kept = weights.iter().position(|w| {
            reached += w;
            reached >= self.config.top_p * total
        });
        weights.truncate(kept.map_or(weights.len(), |last| last + 1));

        let mut draw = self.rng.random::<f64>() * weights.iter().sum::<f64>();
        let chosen = weights.iter().position(|w| {
            draw -= w;
            draw < 0.0
        });
        ranked[chosen.unwrap_or(weights.len() - 1)]
    }

    fn penalise(&self, logits: &mut [f32], seen: &[u32]) {
        let penalty = self.config.repetition_penalty as f32;
        if penalty == 1.0 {
            return;
        }
        let mut seen = seen.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }
}

fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}
