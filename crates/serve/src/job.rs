//! What an engine is asked for: one text, or the vector of one.

use std::sync::{Arc, OnceLock};

use itera_runtime::{SamplingConfig, State};
use itera_tokenizer::TokenId;

use crate::grammar::Grammar;

/// What is to be told of each token: how likely it was, and so many of the most likely ones in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logprobs {
    pub top: usize,
    /// Whether tokens of the prompt are told of too.
    pub of_prompt: bool,
}

/// Where several texts for one prompt part: what the first of them has read, and the others need not.
pub(crate) type Fork = Arc<OnceLock<(State, Vec<f32>)>>;

/// One text to write. Nothing else decides its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The prompt, bos included where there is one: some tokens of the model's vocabulary, which fit its context.
    pub prompt: Vec<TokenId>,
    pub sampling: SamplingConfig,
    /// Which of several texts for one prompt, from 0.
    pub choice: u64,
    /// Where it and others for its prompt part, if there are others.
    pub fork: Option<Fork>,
    pub stops: Vec<String>,
    pub max_tokens: usize,
    pub logprobs: Option<Logprobs>,
    /// What the text may be.
    pub grammar: Option<Arc<Grammar>>,
    /// Whether pieces are wanted before the text is done.
    pub is_streamed: bool,
}

/// One text to make a vector of. Nothing else decides its bits.
#[derive(Clone, Debug)]
pub(crate) struct VectorJob {
    /// The text, bos included where there is one: some tokens of the model's vocabulary, which fit its context.
    pub tokens: Vec<TokenId>,
    /// Numbers to keep, one to all of them; the length is then 1 again.
    pub dims: usize,
}
