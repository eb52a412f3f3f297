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
use itera_runtime::{Continuation, Sampler, SamplingConfig, State, Timing};

use crate::{
    args::{BenchModel, RunArgs},
    opened::{self, Opened},
};

/// A model to measure, and the prompt that it reads: a text of its own, so that its experts are used as they are meant.
pub struct Subject {
    pub opened: Opened,
    prompt: Vec<u32>,
    run: RunArgs,
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
    pub fn open(path: &Path, prompt_tokens: usize, run: &RunArgs) -> Result<Self> {
        let opened = opened::load(path, run)?;
        let (model, bos) = (&opened.model, opened.tokenizer.bos().0);
        let mut sampler = Sampler::new(&SamplingConfig::default(), 0);
        let more = |_| Continuation::More;
        let (mut state, mut work) = (model.new_state(), model.workspace());
        let mut prompt = vec![bos];
        prompt.extend(model.generate(&mut state, &[bos], prompt_tokens - 1, &mut sampler, &mut work, more)?);
        Ok(Self { opened, prompt, run: run.clone() })
    }

    /// Go through everything once.
    pub fn round(&self, args: &BenchModel) -> Result<Round> {
        let start = Instant::now();
        drop(opened::load(&self.opened.path, &self.run)?);
        let load = start.elapsed();

        let model = &self.opened.model;
        let (mut read, mut work) = (model.new_state(), model.workspace());
        let start = Instant::now();
        model.prefill(&mut read, &self.prompt, &mut work)?;
        let prefill = start.elapsed();
        let text = model.time_generation(&mut model.new_state(), &self.prompt, args.tokens + 1, &mut work)?;
        Ok(Round { load, prefill, text, streams: self.streams(args, &read)? })
    }

    /// The time that it takes to write `args.tokens` tokens of each of `args.streams` texts that begin alike.
    fn streams(&self, args: &BenchModel, read: &State) -> Result<Duration> {
        let model = &self.opened.model;
        let mut states = vec![read.clone(); args.streams];
        let mut states: Vec<&mut State> = states.iter_mut().collect();
        let mut work = model.batch_workspace(args.streams);
        // another token each, so that the texts part
        let vocab_size = model.config().vocab_size;
        let mut tokens: Vec<u32> = (0..args.streams).map(|text| (text * 7919 % vocab_size) as u32).collect();
        let mut sampler = Sampler::likeliest(vec![]);
        let start = Instant::now();
        for _ in 0..args.tokens {
            model.step_all(&mut states, &tokens, &mut work)?;
            for (text, token) in tokens.iter_mut().enumerate() {
                *token = sampler.choose(work.logits(text), &self.prompt);
            }
        }
        Ok(start.elapsed())
    }
}
