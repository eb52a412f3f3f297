//! A text under way: what the engine knows of it beside the runtime's text.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use itera_runtime::{Model, Sampler, Text, sampling::LogitsProcessor};

use crate::{
    account::Account,
    cache::PrefixCache,
    job::{Fork, Job, Logprobs},
    loaded::Loaded,
    metrics::ModelMetrics,
    outbox::{Ended, Lost, Writer},
    statistics::Times,
};

/// A text under way.
pub(crate) struct Running<'m> {
    pub text: Text<'m>,
    writer: Writer,
    account: Option<Arc<Account>>,
    /// What others wait for until it has read its prompt.
    fork: Option<Fork>,
    is_streamed: bool,
    /// Whether its grammar leaves no way to go on.
    is_lost: Option<Arc<AtomicBool>>,
    times: Times,
    /// When its last token was chosen.
    last: Instant,
    /// Tokens chosen, as far as they were counted.
    counted: usize,
    /// Tokens of the prompt that were not read.
    pub cached_tokens: usize,
}

impl<'m> Running<'m> {
    /// `None` where the job was not checked against the model; its reader then hears that the text is lost.
    pub fn begin(
        loaded: &'m Loaded,
        cache: &mut PrefixCache,
        job: Job,
        writer: Writer,
        arrived: Instant,
        account: Option<Arc<Account>>,
    ) -> Option<Self> {
        let text = Text::of_tokens(&loaded.model, &loaded.tokenizer, &job.prompt).ok()?;
        let (mask, is_lost) = job.grammar.map(|grammar| grammar.begin()).unzip();
        let mask = mask.map(|mask| Box::new(mask) as Box<dyn LogitsProcessor>);
        let text = text.with_sampler(Sampler::masked(&job.sampling, job.choice, mask));
        let mut text = text.with_stops(&job.stops).with_max_tokens(job.max_tokens);
        if let Some(Logprobs { top, of_prompt }) = job.logprobs {
            text = text.with_logprobs(top, of_prompt);
        }
        let mut cached_tokens = 0;
        let must_read_all = job.logprobs.is_some_and(|logprobs| logprobs.of_prompt);
        if !must_read_all {
            text = text.with_prompt_logits();
            let read = job.fork.as_ref().and_then(|fork| fork.get().cloned());
            let read = read.map(|(state, logits)| (state, Some(logits)));
            if let Some((state, logits)) = read.or_else(|| cache.find(&loaded.model, &job.prompt)) {
                if let (Some(fork), Some(logits)) = (&job.fork, &logits) {
                    fork.get_or_init(|| (state.clone(), logits.clone()));
                }
                cached_tokens = state.position();
                text = text.going_on(state, logits).ok()?;
            }
        }
        if let (Some(account), 0) = (&account, job.choice) {
            account.add_cached_tokens(cached_tokens as u64);
        }
        let times = Times { arrived, begun: Instant::now(), first_token: None, ended: None };
        Some(Self {
            text,
            writer,
            account,
            fork: job.fork,
            is_streamed: job.is_streamed,
            is_lost,
            times,
            last: arrived,
            counted: 0,
            cached_tokens,
        })
    }

    /// Keep the state for others, where they may go on from it.
    pub fn share(&mut self, model: &Model, cache: &mut PrefixCache) {
        // those of a prompt that was not read here came with a state that has gone on since
        let is_whole = self.text.seen() == self.text.prompt().len();
        let logits = self.text.take_prompt_logits().filter(|_| is_whole);
        if let Some(logits) = &logits
            && let Some(fork) = self.fork.take()
        {
            fork.get_or_init(|| (self.text.state().clone(), logits.clone()));
        }
        let (seen, prompt) = (self.text.seen(), self.text.prompt());
        if logits.is_some() {
            cache.keep(prompt, self.text.state(), logits);
        } else if seen < prompt.len() && model.cuts(prompt.len()).any(|cut| cut == seen) {
            cache.keep(&prompt[..seen], self.text.state(), None);
        }
    }

    /// Whether it reads what `job` may go on from when it is read.
    pub fn reads_for(&self, job: &Job) -> bool {
        let (Some(own), Some(other)) = (&self.fork, &job.fork) else { return false };
        Arc::ptr_eq(own, other) && other.get().is_none() && !self.is_over()
    }

    /// Whether a step would do something for it that somebody waits for.
    pub fn can_go_on(&self) -> bool {
        self.text.finish_reason().is_none() && !self.writer.is_full()
    }

    /// Whether nothing more is to be written.
    pub fn is_over(&self) -> bool {
        self.text.finish_reason().is_some() || self.writer.is_left() || self.is_lost()
    }

    fn is_lost(&self) -> bool {
        self.is_lost.as_ref().is_some_and(|is_lost| is_lost.load(Ordering::Relaxed))
    }

    /// Tell its reader, and whoever counts, what the last step brought.
    pub fn tell(&mut self, now: Instant, metrics: &ModelMetrics) {
        if self.is_lost() {
            return;
        }
        let chosen = self.text.ids().len();
        if chosen > self.counted {
            match self.counted {
                0 => {
                    self.times.first_token = Some(now);
                    metrics.begun(now - self.times.arrived);
                }
                _ => metrics.continued(now - self.last),
            }
            metrics.completion_tokens.inc();
            if let Some(account) = &self.account {
                account.add_completion_token();
            }
            (self.counted, self.last) = (chosen, now);
        }
        if self.is_streamed {
            let logprobs = self.text.take_logprobs();
            self.writer.push(self.text.piece(), logprobs);
        }
    }

    /// Tell its reader that it has ended.
    pub fn end(mut self, metrics: &ModelMetrics) {
        self.times.ended = Some(Instant::now());
        let reason = self.text.finish_reason().filter(|_| !self.is_lost());
        // counted before anybody hears of it
        metrics.ended(reason, self.times);
        metrics.written(self.text.prompt().len(), self.text.ids().len());
        if self.is_lost() {
            self.writer.lose(Lost::Grammar);
        } else if self.text.finish_reason().is_some() {
            self.writer.push("", self.text.take_logprobs());
            let cached_tokens = self.cached_tokens;
            let times = self.times;
            self.writer.end(Ended { completion: self.text.into_completion(), cached_tokens, times });
        } else {
            // one that is gone does not hear it
            self.writer.lose(Lost::Stalled);
        }
    }
}
