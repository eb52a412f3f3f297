//! What an engine does between two looks at its queue.
//!
//! ```text
//! ┌▶ begin what waits, as long as there is room ─▶ drop what nobody reads ─▶ a piece of a text to embed ─┐
//! └───────────────── pieces to outboxes ◀─ a step of all texts that are written ◀────────────────────────┘
//! ```

use std::{mem, time::Instant};

use itera_runtime::Batch;

use crate::{
    cache::PrefixCache,
    loaded::Loaded,
    metrics::ModelMetrics,
    pulse::Pulse,
    queue::{Task, Waiting},
    running::Running,
    vectors::Vectors,
};

/// All that is under way.
pub(crate) struct Turns<'m> {
    loaded: &'m Loaded,
    metrics: &'m ModelMetrics,
    batch: Batch<'m>,
    cache: PrefixCache,
    /// Bytes of the cache that the metrics know of: of this engine, beside that of one whose place it takes.
    told_bytes: usize,
    running: Vec<Running<'m>>,
    vectors: Vectors<'m>,
    /// Texts whose prompts another is reading.
    behind: Vec<Waiting>,
}

impl<'m> Turns<'m> {
    /// Nothing under way, and what is in `cache`.
    pub fn new(loaded: &'m Loaded, cache: PrefixCache, metrics: &'m ModelMetrics) -> Self {
        Self {
            loaded,
            metrics,
            batch: Batch::new(&loaded.model),
            cache,
            told_bytes: 0,
            running: vec![],
            vectors: Vectors::new(&loaded.model),
            behind: vec![],
        }
    }

    /// What is kept for prompts to come.
    pub fn cache(&self) -> &PrefixCache {
        &self.cache
    }

    /// How many texts it has.
    pub fn under_way(&self) -> usize {
        self.running.len() + self.vectors.len() + self.behind.len()
    }

    /// Whether a turn would do something that somebody waits for.
    pub fn can_go_on(&self) -> bool {
        self.vectors.len() + self.behind.len() > 0 || self.running.iter().any(Running::can_go_on)
    }

    /// Whether the next turn is work for several threads.
    pub fn is_for_many_threads(&self) -> bool {
        self.running.iter().filter(|text| text.can_go_on()).nth(1).is_some()
    }

    /// Drop those that wait for another's prompt, and that nobody waits for.
    pub fn forget_those_left(&mut self) {
        self.behind.extract_if(.., |text| text.task.is_left()).for_each(|text| self.metrics.left_waiting(text.arrived));
    }

    /// Begin `begun`, and go a step on. The pulse beats before each part of it, and is told of no end.
    pub fn turn(&mut self, begun: Vec<Waiting>, pulse: &Pulse) {
        pulse.beat();
        self.metrics.prompt_tokens.inc_by(begun.iter().map(|text| text.task.tokens() as u64).sum());
        for text in mem::take(&mut self.behind).into_iter().chain(begun) {
            self.begin(text);
        }
        pulse.beat();
        self.vectors.step(self.metrics);
        pulse.beat();
        let writable = self.running.iter_mut().filter(|text| text.can_go_on());
        if self.batch.step(writable.map(|text| &mut text.text)) {
            self.metrics.statistics.step();
        }
        pulse.beat();
        let now = Instant::now();
        self.running.iter_mut().for_each(|text| text.share(&self.loaded.model, &mut self.cache));
        self.metrics.cache_bytes.inc_by(self.cache.size_bytes() as i64 - self.told_bytes as i64);
        self.told_bytes = self.cache.size_bytes();
        self.metrics.cache_usage.set(self.cache.usage());
        self.running.iter_mut().for_each(|text| text.tell(now, self.metrics));
        self.running.extract_if(.., |text| text.is_over()).for_each(|text| text.end(self.metrics));
    }

    fn begin(&mut self, Waiting { arrived, task, account }: Waiting) {
        match task {
            Task::Embed { job, reply } => {
                if !self.vectors.begin(job, reply, arrived) {
                    return;
                }
            }
            Task::Write { job, writer } if self.running.iter().any(|text| text.reads_for(&job)) => {
                self.behind.push(Waiting { arrived, task: Task::Write { job, writer }, account });
                return;
            }
            Task::Write { job, writer } => {
                let begun = Running::begin(self.loaded, &mut self.cache, *job, writer, arrived, account);
                let Some(mut text) = begun else { return };
                self.metrics.cached_tokens.inc_by(text.cached_tokens as u64);
                // one whose whole prompt was cached has its first token
                text.tell(Instant::now(), self.metrics);
                self.running.push(text);
            }
        }
        self.metrics.running.inc();
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        self.metrics.cache_bytes.dec_by(self.told_bytes as i64);
    }
}
