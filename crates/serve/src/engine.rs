//! The thread that writes all texts of one model, and makes vectors of others.
//!
//! ```text
//! ┌▶ begin what waits, as long as there is room ─▶ drop what nobody reads ─▶ a piece of a text to embed ─┐
//! └───────────────── pieces to outboxes ◀─ a step of all texts that are written ◀────────────────────────┘
//! ```

use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use itera_runtime::{Batch, Model, Sampler, Text, sampling::LogitsProcessor};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use crate::{
    account::Account,
    cache::PrefixCache,
    job::{Fork, Job, Logprobs, VectorJob},
    loaded::Loaded,
    metrics::ModelMetrics,
    outbox::{Ended, Lost, Reader, Writer, outbox},
    queue::{Limits, Next, Queue, Refused, Task, Waiting},
    statistics::{Statistics, Times},
    vectors::Vectors,
};

/// A step that takes longer is a fault: the engine is not ready.
const STUCK: Duration = Duration::from_secs(1);

/// How much an engine does and holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Texts that are under way at once, one at least.
    pub room: usize,
    /// Bytes of states that are kept for prompts that begin alike.
    pub cache_bytes: usize,
}

impl Size {
    /// Bytes that an engine of `model` takes at most, beside the model itself.
    pub fn bytes(self, model: &Model) -> usize {
        let mut state = model.new_state();
        state.reserve(model.context_len().unwrap_or(0));
        self.cache_bytes + self.room * state.size_bytes()
    }
}

/// A model, and the thread that runs it. Dropped, it takes in nothing more, and the thread ends with its last text.
#[derive(Debug)]
pub(crate) struct Engine {
    loaded: Arc<Loaded>,
    queue: Arc<Queue>,
    pulse: Arc<Pulse>,
    statistics: Arc<Statistics>,
    /// Texts under way, of so many at most.
    running: Gauge,
    room: usize,
}

/// When the step under way began, so that others see whether it ends.
#[derive(Debug)]
struct Pulse {
    origin: Instant,
    /// Microseconds from `origin` to the start of the step, plus one; 0 between steps, [`Pulse::DEAD`] after the last.
    began: AtomicU64,
}

/// A text under way.
struct Running<'m> {
    text: Text<'m>,
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
    cached_tokens: usize,
}

impl Engine {
    /// An engine for `loaded`, and the handle to wait for its end.
    pub fn start(
        loaded: Arc<Loaded>,
        size: Size,
        limits: Limits,
        metrics: ModelMetrics,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, pulse) = (Arc::new(Queue::new(limits, metrics.waiting.clone())), Arc::new(Pulse::new()));
        let engine = Self {
            loaded: loaded.clone(),
            queue: queue.clone(),
            pulse: pulse.clone(),
            statistics: metrics.statistics.clone(),
            running: metrics.running.clone(),
            room: size.room,
        };
        let name = format!("engine {}", loaded.name);
        let handle = thread::Builder::new().name(name).spawn(move || {
            let _end = LastAct(&queue, &pulse);
            run(&loaded, &queue, &pulse, size, &metrics);
        })?;
        Ok((engine, handle))
    }

    /// The model.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// What it did.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Texts under way.
    pub fn running(&self) -> usize {
        usize::try_from(self.running.get()).unwrap_or(0)
    }

    /// Texts that are under way at once.
    pub fn room(&self) -> usize {
        self.room
    }

    /// The model, for who needs it for longer than the engine is there.
    pub fn shared(&self) -> Arc<Loaded> {
        self.loaded.clone()
    }

    /// Have texts written, all of them or none.
    pub fn submit(&self, jobs: Vec<Job>) -> Result<Vec<Reader>, Refused> {
        let queue = self.queue.clone();
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || queue.nudge());
        let arrived = Instant::now();
        let account = Account::current();
        if let Some(account) = &account {
            let firsts = jobs.iter().filter(|job| job.choice == 0);
            account.set_prompt_tokens(firsts.map(|job| job.prompt.len()).sum());
        }
        let texts = jobs.into_iter().map(|job| {
            let (writer, reader) = outbox(wake.clone());
            let task = Task::Write { job: Box::new(job), writer };
            (Waiting { arrived, task, account: account.clone() }, reader)
        });
        let (waiting, readers): (Vec<Waiting>, Vec<Reader>) = texts.unzip();
        self.queue.push(waiting)?;
        Ok(readers)
    }

    /// Have vectors made, all of them or none. To cancel one, drop its receiver, which gets none where the engine ends before.
    pub fn embed(&self, jobs: Vec<VectorJob>) -> Result<Vec<oneshot::Receiver<Vec<f32>>>, Refused> {
        let arrived = Instant::now();
        let account = Account::current();
        if let Some(account) = &account {
            account.set_prompt_tokens(jobs.iter().map(|job| job.tokens.len()).sum());
        }
        let texts = jobs.into_iter().map(|job| {
            let (reply, vector) = oneshot::channel();
            (Waiting { arrived, task: Task::Embed { job, reply }, account: account.clone() }, vector)
        });
        let (waiting, vectors): (Vec<Waiting>, Vec<_>) = texts.unzip();
        self.queue.push(waiting)?;
        Ok(vectors)
    }

    /// Whether the engine runs, and ends its steps in time.
    pub fn is_ready(&self) -> bool {
        self.pulse.is_steady()
    }

    /// What waits for it, as long as the engine or somebody who reads one of its texts is there.
    pub fn queue(&self) -> Weak<Queue> {
        Arc::downgrade(&self.queue)
    }

    /// Whether nobody holds it but who calls this, and nobody reads a text of it.
    pub fn is_unused(this: &Arc<Self>) -> bool {
        // that of the engine, and that of its thread
        Arc::strong_count(this) == 1 && Arc::strong_count(&this.queue) == 2
    }
}

impl Drop for Engine {
    /// Nobody can ask for more; the thread ends with the last text.
    fn drop(&mut self) {
        self.queue.drain();
    }
}

impl Pulse {
    const DEAD: u64 = u64::MAX;

    fn new() -> Self {
        Self { origin: Instant::now(), began: AtomicU64::new(0) }
    }

    fn begin(&self) {
        self.began.store(self.origin.elapsed().as_micros() as u64 + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.began.store(0, Ordering::Relaxed);
    }

    fn is_steady(&self) -> bool {
        match self.began.load(Ordering::Relaxed) {
            0 => true,
            Self::DEAD => false,
            began => self.origin.elapsed() < STUCK + Duration::from_micros(began),
        }
    }
}

/// What the thread does at its end, also where that is a panic: nobody waits for it any more.
struct LastAct<'e>(&'e Queue, &'e Pulse);

impl Drop for LastAct<'_> {
    fn drop(&mut self) {
        let Self(queue, pulse) = self;
        pulse.began.store(Pulse::DEAD, Ordering::Relaxed);
        queue.abort();
    }
}

impl<'m> Running<'m> {
    /// `None` where the job was not checked against the model; its reader then hears that the text is lost.
    fn begin(
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
    fn share(&mut self, model: &Model, cache: &mut PrefixCache) {
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
    fn reads_for(&self, job: &Job) -> bool {
        let (Some(own), Some(other)) = (&self.fork, &job.fork) else { return false };
        Arc::ptr_eq(own, other) && other.get().is_none() && !self.is_over()
    }

    /// Whether a step would do something for it that somebody waits for.
    fn can_go_on(&self) -> bool {
        self.text.finish_reason().is_none() && !self.writer.is_full()
    }

    fn is_over(&self) -> bool {
        self.text.finish_reason().is_some() || self.writer.is_left() || self.is_lost()
    }

    fn is_lost(&self) -> bool {
        self.is_lost.as_ref().is_some_and(|is_lost| is_lost.load(Ordering::Relaxed))
    }

    fn tell(&mut self, now: Instant, metrics: &ModelMetrics) {
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

    fn end(mut self, metrics: &ModelMetrics) {
        self.times.ended = Some(Instant::now());
        let reason = self.text.finish_reason().filter(|_| !self.is_lost());
        // counted before anybody hears of it
        metrics.ended(reason, self.times);
        if self.is_lost() {
            self.writer.lose(Lost::Grammar);
        } else if self.text.finish_reason().is_some() {
            self.writer.push("", self.text.take_logprobs());
            let cached_tokens = self.cached_tokens;
            let times = self.times;
            self.writer.end(Ended { completion: self.text.into_completion(), cached_tokens, times });
        }
    }
}

fn run(loaded: &Loaded, queue: &Queue, pulse: &Pulse, size: Size, metrics: &ModelMetrics) {
    let Size { room, cache_bytes } = size;
    let mut batch = Batch::new(&loaded.model);
    let mut cache = PrefixCache::new(cache_bytes);
    let mut running: Vec<Running<'_>> = vec![];
    let mut vectors = Vectors::new(&loaded.model);
    // of this engine, beside that of one whose place it takes
    let mut told_bytes = 0;
    // texts whose prompts another is reading
    let mut behind: Vec<Waiting> = vec![];
    loop {
        behind.retain(|text| !text.task.is_left());
        let under_way = running.len() + vectors.len() + behind.len();
        let can_go_on = vectors.len() + behind.len() > 0 || running.iter().any(Running::can_go_on);
        let Next::Work(begun) = queue.next(room - under_way, can_go_on, under_way == 0) else {
            metrics.cache_bytes.dec_by(told_bytes);
            return;
        };
        metrics.prompt_tokens.inc_by(begun.iter().map(|text| text.task.tokens() as u64).sum());
        for Waiting { arrived, task, account } in std::mem::take(&mut behind).into_iter().chain(begun) {
            match task {
                Task::Embed { job, reply } => {
                    if !vectors.begin(job, reply, arrived) {
                        continue;
                    }
                }
                Task::Write { job, writer } if running.iter().any(|text| text.reads_for(&job)) => {
                    behind.push(Waiting { arrived, task: Task::Write { job, writer }, account });
                    continue;
                }
                Task::Write { job, writer } => {
                    let begun = Running::begin(loaded, &mut cache, *job, writer, arrived, account);
                    let Some(mut text) = begun else { continue };
                    metrics.cached_tokens.inc_by(text.cached_tokens as u64);
                    // one whose whole prompt was cached has its first token
                    text.tell(Instant::now(), metrics);
                    running.push(text);
                }
            }
            metrics.running.inc();
        }
        pulse.begin();
        vectors.step(metrics);
        pulse.end();
        pulse.begin();
        if batch.step(running.iter_mut().filter(|text| text.can_go_on()).map(|text| &mut text.text)) {
            metrics.statistics.step();
        }
        pulse.end();
        let now = Instant::now();
        running.iter_mut().for_each(|text| text.share(&loaded.model, &mut cache));
        metrics.cache_bytes.inc_by(cache.size_bytes() as i64 - told_bytes);
        told_bytes = cache.size_bytes() as i64;
        running.iter_mut().for_each(|text| text.tell(now, metrics));
        running.extract_if(.., |text| text.is_over()).for_each(|text| text.end(metrics));
    }
}
