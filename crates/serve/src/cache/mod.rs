//! States of prompts that were read, for prompts that begin alike.
//!
//! ```text
//! prompt  ├──────────┼──────────┼─────────┤      read piece by piece
//! kept             state      state     state, and the logits after it
//! ```
//!
//! A prompt is read in pieces that are cut where its length says (`Model::cuts`). A state is kept at each cut, and goes on for
//! prompts that are cut there too: what follows has the bits that it has without a cache. The state behind the whole prompt goes
//! on for the same prompt alone. What was not used for longest goes first.

mod saved;

use std::collections::HashMap;

use itera_runtime::{Model, State};
use itera_tokenizer::TokenId;

/// States within a budget of bytes.
#[derive(Debug)]
pub(crate) struct PrefixCache {
    budget: usize,
    bytes: usize,
    /// Counts uses.
    clock: u64,
    entries: HashMap<Box<[TokenId]>, Entry>,
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// What follows, where the tokens are a whole prompt.
    logits: Option<Vec<f32>>,
    bytes: usize,
    used: u64,
}

impl PrefixCache {
    /// An empty cache that holds at most `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self { budget, bytes: 0, clock: 0, entries: HashMap::new() }
    }

    /// The longest beginning of `prompt` from which it may go on: the state, and the logits after it if it is all of it.
    pub fn find(&mut self, model: &Model, prompt: &[TokenId]) -> Option<(State, Option<Vec<f32>>)> {
        self.clock += 1;
        let whole = self.entries.get_mut(prompt).filter(|entry| entry.logits.is_some());
        if let Some(entry) = whole {
            entry.used = self.clock;
            return Some((entry.state.clone(), entry.logits.clone()));
        }
        let cut = model.cuts(prompt.len()).rev().find(|cut| self.entries.contains_key(&prompt[..*cut]))?;
        let entry = self.entries.get_mut(&prompt[..cut])?;
        entry.used = self.clock;
        Some((entry.state.clone(), None))
    }

    /// Keep `state`, which has seen `tokens`, with the logits after it where they are a whole prompt.
    pub fn keep(&mut self, tokens: &[TokenId], state: &State, logits: Option<Vec<f32>>) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(tokens) {
            entry.used = self.clock;
            if entry.logits.is_some() || logits.is_none() {
                return;
            }
        }
        let of_logits = logits.as_ref().map_or(0, |logits| size_of_val(&logits[..]));
        let bytes = size_of::<Entry>() + size_of_val(tokens) + state.size_bytes() + of_logits;
        if bytes > self.budget {
            return;
        }
        let entry = Entry { state: state.clone(), logits, bytes, used: self.clock };
        self.bytes += bytes;
        if let Some(before) = self.entries.insert(tokens.into(), entry) {
            self.bytes -= before.bytes;
        }
        while self.bytes > self.budget {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(tokens, _)| tokens.clone());
            let Some(gone) = oldest.and_then(|tokens| self.entries.remove(&tokens)) else { return };
            self.bytes -= gone.bytes;
        }
    }

    /// Bytes that it holds.
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Their share of what it may hold; 0 where that is nothing.
    pub fn usage(&self) -> f64 {
        self.bytes as f64 / self.budget.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_when_the_budget_is_spent() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/stories-75k.gguf");
        let model = Model::open(path).expect("the checkpoint opens");
        let state = model.new_state();
        let prompt = |number: u32| [TokenId(1), TokenId(number)];
        let logits = || Some(vec![0.0; model.config().vocab_size]);
        let mut one = PrefixCache::new(usize::MAX);
        one.keep(&prompt(0), &state, logits());
        let mut cache = PrefixCache::new(3 * one.size_bytes());
        for number in 0..3 {
            cache.keep(&prompt(number), &state, logits());
        }
        cache.keep(&prompt(0), &state, logits());
        assert_eq!(cache.size_bytes(), 3 * one.size_bytes(), "what is there is not kept twice");
        assert!(cache.find(&model, &prompt(1)).is_some());
        cache.keep(&prompt(3), &state, logits());
        cache.keep(&prompt(4), &state, logits());
        let found: Vec<bool> = (0..5).map(|number| cache.find(&model, &prompt(number)).is_some()).collect();
        assert_eq!(found, [false, true, false, true, true]);
        assert_eq!(cache.size_bytes(), 3 * one.size_bytes());

        // a state without logits is none of a whole prompt; one with them takes its place
        cache.keep(&prompt(5), &state, None);
        assert!(cache.find(&model, &prompt(5)).is_none());
        cache.keep(&prompt(5), &state, logits());
        assert!(cache.find(&model, &prompt(5)).is_some_and(|(_, logits)| logits.is_some()));
        assert!(cache.size_bytes() <= 3 * one.size_bytes());

        let mut none = PrefixCache::new(0);
        none.keep(&prompt(0), &state, logits());
        assert_eq!((none.size_bytes(), none.find(&model, &prompt(0)).is_none()), (0, true));
    }
}
