//! The thread that writes all texts of one model, and makes vectors of others.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use itera_runtime::{Batch, Model};
use itera_tokenizer::TokenId;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use crate::{
    account::Account,
    cache::PrefixCache,
    error::chain,
    job::{Job, VectorJob},
    loaded::Loaded,
    metrics::ModelMetrics,
    outbox::{FULL, Reader, outbox},
    pulse::Pulse,
    queue::{Limits, Next, Queue, Refused, Task, Waiting},
    statistics::Statistics,
    turns::Turns,
};

/// How long an engine stays on a thread that it shares with others, before it lets them have it.
const STAY: Duration = Duration::from_millis(2);

/// Bytes that a text has for each token of the vocabulary to choose one: likelihoods, twice, and those kept with their ids.
const CHOICE: usize = 2 * size_of::<f32>() + size_of::<(u32, f32)>();

/// How much an engine does and holds.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    /// Texts that are under way at once, one at least.
    pub room: usize,
    /// Bytes of states that are kept for prompts that begin alike.
    pub cache_bytes: usize,
    /// Where these states outlive the engine; `None` if they do not.
    pub cache_dir: Option<PathBuf>,
}

impl Size {
    /// Bytes that an engine of `model` takes with all places taken, beside the model itself and what waits: states, tokens and
    /// outboxes of its texts, what chooses their tokens, the buffers through which they go, those of vectors among them, and the
    /// cache. Grammars, and what is told of tokens, are apart.
    pub fn bytes(&self, model: &Model) -> usize {
        let tokens = model.context_len().unwrap_or(0) * size_of::<TokenId>();
        let of_text = model.most_state_bytes().saturating_add(tokens + FULL + model.config().vocab_size * CHOICE);
        let buffers = Batch::most_bytes(model, self.room).saturating_add(model.most_workspace_bytes());
        self.cache_bytes.saturating_add(buffers).saturating_add(self.room.saturating_mul(of_text))
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
    /// How long a text waits for its reader.
    patience: Duration,
}

impl Engine {
    /// An engine for `loaded`, and the handle to wait for its end.
    pub fn start(
        loaded: Arc<Loaded>,
        size: Size,
        limits: Limits,
        metrics: ModelMetrics,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let metrics = Arc::new(metrics);
        let (queue, pulse) = (Arc::new(Queue::new(limits, metrics.clone())), Arc::new(Pulse::new()));
        let engine = Self {
            loaded: loaded.clone(),
            queue: queue.clone(),
            pulse: pulse.clone(),
            statistics: metrics.statistics.clone(),
            running: metrics.running.clone(),
            room: size.room,
            patience: limits.patience,
        };
        let name = format!("engine {}", loaded.name);
        let handle = thread::Builder::new().name(name).spawn(move || {
            let _end = LastAct(&queue, &pulse);
            run(&loaded, &queue, &pulse, &size, &metrics);
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
            let (writer, reader) = outbox(wake.clone(), self.patience);
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

/// What the thread does at its end, also where that is a panic: nobody waits for it any more.
struct LastAct<'e>(&'e Queue, &'e Pulse);

impl Drop for LastAct<'_> {
    fn drop(&mut self) {
        let Self(queue, pulse) = self;
        pulse.stop();
        queue.abort();
    }
}

/// Waits on this thread alone: those that are shared among engines are for steps.
fn run(loaded: &Loaded, queue: &Queue, pulse: &Pulse, size: &Size, metrics: &ModelMetrics) {
    let file = size.cache_dir.as_ref().map(|dir| dir.join(format!("{}.states", loaded.fingerprint)));
    let mut turns = Turns::new(loaded, restored(loaded, size.cache_bytes, file.as_deref()), metrics);
    let next = |turns: &mut Turns<'_>| {
        turns.forget_those_left();
        let (under_way, can_go_on) = (turns.under_way(), turns.can_go_on());
        if !can_go_on {
            pulse.rest();
        }
        queue.next(size.room - under_way, can_go_on, under_way == 0)
    };
    while let Next::Work(begun) = next(&mut turns) {
        turns.turn(begun, pulse);
        if turns.is_for_many_threads() {
            // a step that begins on one of them wakes one less, and nobody when it ends
            rayon::scope(|_| {
                let came = Instant::now();
                while turns.is_for_many_threads() && came.elapsed() < STAY {
                    let Next::Work(begun) = next(&mut turns) else { return };
                    turns.turn(begun, pulse);
                }
            });
        }
    }
    if let Some(file) = file
        && let Err(error) = turns.cache().save(loaded, &file)
    {
        tracing::warn!("states of {} are not kept: {}", loaded.name, chain(&error));
    }
}

/// A cache with what an engine of the same model left in `file`. Where that is of no use, answers are the same.
fn restored(loaded: &Loaded, bytes: usize, file: Option<&Path>) -> PrefixCache {
    let mut cache = PrefixCache::new(bytes);
    if let Some(file) = file
        && let Err(problem) = cache.restore(loaded, file)
    {
        tracing::warn!("{} is not used: {}", file.display(), chain(&problem));
    }
    cache
}
