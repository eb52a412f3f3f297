//! What stands between logits and a choice, one thing each.

use std::fmt::Debug;

use itera_kernels::decode::likelihoods;
use itera_tokenizer::TokenId;

use super::ranked::Ranked;

/// Changes the logits of a choice. A token is excluded by −∞.
pub trait LogitsProcessor: Debug + Send {
    /// Change `logits`, given the ids already in the text.
    fn process(&mut self, logits: &mut [f32], seen: &[TokenId]);
}

/// Adds to the logits of some tokens; −∞ excludes one. Tokens outside the vocabulary are passed over.
#[derive(Debug)]
pub struct LogitBias(pub Vec<(TokenId, f32)>);

impl LogitsProcessor for LogitBias {
    fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
        for (id, bias) in &self.0 {
            if let Some(logit) = logits.get_mut(id.index()) {
                *logit += bias;
            }
        }
    }
}

/// Divides positive and multiplies negative logits of tokens already in the text (arXiv 1909.05858).
#[derive(Debug)]
pub struct RepetitionPenalty {
    penalty: f32,
    /// Which tokens are in the text.
    is_seen: Vec<bool>,
}

impl RepetitionPenalty {
    /// A penalty above 1 discourages repetition.
    pub fn new(penalty: f32) -> Self {
        Self { penalty, is_seen: vec![] }
    }
}

impl LogitsProcessor for RepetitionPenalty {
    fn process(&mut self, logits: &mut [f32], seen: &[TokenId]) {
        self.is_seen.clear();
        self.is_seen.resize(logits.len(), false);
        for id in seen {
            let Some(is_seen) = self.is_seen.get_mut(id.index()) else { continue };
            if !std::mem::replace(is_seen, true) {
                let logit = &mut logits[id.index()];
                *logit = if *logit > 0.0 { *logit / self.penalty } else { *logit * self.penalty };
            }
        }
    }
}

/// Divides all logits.
#[derive(Debug)]
pub struct Temperature(pub f32);

impl LogitsProcessor for Temperature {
    fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
        logits.iter_mut().for_each(|logit| *logit /= self.0);
    }
}

/// Keeps the k most likely tokens, of equally likely ones those with the lower ids.
#[derive(Debug)]
pub struct TopK {
    k: usize,
    kept: Kept,
}

impl TopK {
    /// Keep `k` tokens, at least one.
    pub fn new(k: usize) -> Self {
        Self { k: k.max(1), kept: Kept::default() }
    }
}

impl LogitsProcessor for TopK {
    fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
        let mut left = self.k;
        self.kept.only(logits, |_| {
            left -= 1;
            left == 0
        });
    }
}

/// Keeps the fewest most likely tokens whose probabilities reach a sum (arXiv 1904.09751).
#[derive(Debug)]
pub struct TopP {
    p: f64,
    kept: Kept,
    weights: Vec<f32>,
}

impl TopP {
    /// Keep tokens until their probabilities reach `p`, at least one.
    pub fn new(p: f64) -> Self {
        Self { p, kept: Kept::default(), weights: vec![] }
    }
}

impl LogitsProcessor for TopP {
    fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
        self.weights.resize(logits.len(), 0.0);
        let enough = self.p * likelihoods(logits, 1.0, &mut self.weights);
        let mut reached = 0.0;
        self.kept.only(logits, |id| {
            reached += f64::from(self.weights[id as usize]);
            reached >= enough
        });
    }
}

/// Tokens that stay while all others are excluded, and their logits.
#[derive(Debug, Default)]
struct Kept(Vec<(u32, f32)>);

impl Kept {
    /// Exclude all but the most likely tokens, up to the first with which there are `enough`.
    fn only(&mut self, logits: &mut [f32], mut enough: impl FnMut(u32) -> bool) {
        self.0.clear();
        for id in Ranked::new(logits) {
            self.0.push((id, logits[id as usize]));
            if enough(id) {
                break;
            }
        }
        logits.fill(f32::NEG_INFINITY);
        for (id, logit) in &self.0 {
            logits[*id as usize] = *logit;
        }
    }
}

/// Keeps tokens at least this likely, relative to the most likely one (arXiv 2407.01082).
#[derive(Debug)]
pub struct MinP(pub f64);

impl LogitsProcessor for MinP {
    fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let floor = (f64::from(largest) + self.0.min(1.0).ln()) as f32;
        logits.iter_mut().filter(|logit| **logit < floor).for_each(|logit| *logit = f32::NEG_INFINITY);
    }
}
