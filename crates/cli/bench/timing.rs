//! One round over a model, timed.
//!
//! ```text
//! load │ prefill │ first token → token → … one text │ tokens → tokens → … many texts
//! ```

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use itera_runtime::{Batch, RuntimeError, Sampler, SamplingConfig, State, Text, Timing};
use itera_tokenizer::TokenId;

use crate::opened::{self, Opened, RunArgs};

/// A model to measure.
pub struct Subject {
    pub opened: Opened,
    run: RunArgs,
}

/// How long the texts are that speed is measured on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    pub prompt_tokens: usize,
    /// Tokens after it.
    pub tokens: usize,
    /// Texts that are written at once.
    pub streams: usize,
}

/// What one round took.
pub struct Round {
    pub load: Duration,
    pub prefill: Duration,
    /// One text, token by token.
    pub text: Timing,
    /// The tokens of all texts that are written at once.
    pub streams: Duration,
}

impl Subject {
    pub fn open(path: &Path, run: &RunArgs) -> Result<Self> {
        Ok(Self { opened: opened::load(path, run)?, run: run.clone() })
    }

    /// A prompt that the model reads: a text of its own, so that its experts are used as they are meant.
    pub fn prompt(&self, lengths: Lengths) -> Result<Vec<TokenId>> {
        let bos = self.opened.tokenizer.bos();
        let text = Text::of_ids(&self.opened.model, &[bos])?.with_max_tokens(lengths.prompt_tokens - 1);
        let sampler = Sampler::new(&SamplingConfig::default(), 0);
        Ok([bos].into_iter().chain(text.with_sampler(sampler)).collect())
    }

    /// Go through everything once.
    pub fn round<'m>(&'m self, prompt: &[TokenId], lengths: Lengths, batch: &mut Batch<'m>) -> Result<Round> {
        let start = Instant::now();
        drop(opened::load(&self.opened.path, &self.run)?);
        let load = start.elapsed();

        let model = &self.opened.model;
        let (mut read, mut work) = (model.new_state(), model.workspace());
        let start = Instant::now();
        model.prefill(&mut read, prompt, &mut work)?;
        let prefill = start.elapsed();
        let text = |tokens| Ok::<_, RuntimeError>(Text::of_ids(model, prompt)?.with_max_tokens(tokens));
        // the first token is that of a program at work, whose buffers are in the caches
        Timing::of(text(1)?, batch);
        let timing = Timing::of(text(lengths.tokens + 1)?, batch);
        Ok(Round { load, prefill, text: timing, streams: self.streams(lengths, &read, batch)? })
    }

    /// The time that it takes to write texts that begin alike.
    fn streams<'m>(&'m self, lengths: Lengths, read: &State, batch: &mut Batch<'m>) -> Result<Duration> {
        let model = &self.opened.model;
        // another token each, so that the texts part
        let token = |text: usize| TokenId((text * 7919 % model.config().vocab_size) as u32);
        let begin = |text| Ok(Text::continuing(model, read.clone(), &[token(text)])?.with_max_tokens(lengths.tokens));
        let mut texts = (0..lengths.streams).map(begin).collect::<Result<Vec<_>, RuntimeError>>()?;
        let start = Instant::now();
        while batch.step(&mut texts) {}
        Ok(start.elapsed())
    }
}
