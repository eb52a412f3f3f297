//! Texts that wait for their engine, to be written or to become vectors, and what the engine waits for.
//!
//! A queue is bounded in texts and in tokens of their prompts; what does not fit is refused at once. Texts of one key begin in
//! the order in which they came, and keys take turns: however many texts one of them has, another waits for one of these. Nor
//! can a key fill the queue by and by: beside texts of it that wait, it may have no more than there is room for. A text whose reader
//! leaves is dropped where it stands, and counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    account::Account,
    job::{Job, VectorJob},
    metrics::ModelMetrics,
    outbox::Writer,
};

/// How often an engine whose texts all wait for their readers looks whether these are still there.
const LOOK: Duration = Duration::from_secs(1);

/// Most that may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub texts: usize,
    /// Tokens of prompts.
    pub tokens: usize,
    /// How long a text that is written waits for its reader.
    pub patience: Duration,
}

/// Why nothing more is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The queue is full.
    Full,
    /// The texts have more tokens than the queue ever holds.
    TooMany { tokens: usize, most: usize },
    /// The server is ending.
    Ending,
}

/// A text that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub arrived: Instant,
    pub task: Task,
    /// Of the request that asks for it, where one is kept.
    pub account: Option<Arc<Account>>,
}

impl Waiting {
    /// Whose it is.
    fn key(&self) -> Option<&str> {
        self.account.as_ref()?.key()
    }
}

/// What is to be made of a text, and for whom.
#[derive(Debug)]
pub(crate) enum Task {
    Write { job: Box<Job>, writer: Writer },
    Embed { job: VectorJob, reply: oneshot::Sender<Vec<f32>> },
}

impl Task {
    /// Tokens of the prompt, or of the text that is to become a vector.
    pub fn tokens(&self) -> usize {
        match self {
            Self::Write { job, .. } => job.prompt.len(),
            Self::Embed { job, .. } => job.tokens.len(),
        }
    }

    /// Whether nobody waits for it any more.
    pub fn is_left(&self) -> bool {
        match self {
            Self::Write { writer, .. } => writer.is_left(),
            Self::Embed { reply, .. } => reply.is_closed(),
        }
    }
}

/// A text where it stands: behind all of an earlier turn, and those of its own that came before it.
#[derive(Debug)]
struct Place {
    turn: u64,
    text: Waiting,
}

/// What an engine is to do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Begin these texts, and go on with those under way.
    Work(Vec<Waiting>),
    /// Nothing is left to do, and nothing will come.
    End,
}

#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    inner: Mutex<Inner>,
    changed: Condvar,
    /// How many wait, and how many left, for others to see.
    metrics: Arc<ModelMetrics>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Place>,
    /// That of the text that was begun last.
    turn: u64,
    /// Of their prompts.
    tokens: usize,
    /// Something changed that the engine does not know yet.
    is_news: bool,
    ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// After all that was taken in.
    Drain,
    /// At once.
    Abort,
}

impl Queue {
    /// An empty queue, of which `metrics` tell.
    pub fn new(limits: Limits, metrics: Arc<ModelMetrics>) -> Self {
        Self { limits, inner: Mutex::default(), changed: Condvar::new(), metrics }
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Let all of `texts` wait, or none.
    pub fn push(&self, texts: Vec<Waiting>) -> Result<(), Refused> {
        let tokens: usize = texts.iter().map(|text| text.task.tokens()).sum();
        if tokens > self.limits.tokens {
            return Err(Refused::TooMany { tokens, most: self.limits.tokens });
        }
        let mut inner = self.lock();
        if inner.ending.is_some() {
            return Err(Refused::Ending);
        }
        inner.forget_those_left(&self.metrics);
        let all = inner.waiting.len() + texts.len();
        if all > self.limits.texts || inner.tokens + tokens > self.limits.tokens {
            return Err(Refused::Full);
        }
        if let Some(key) = texts.first().and_then(Waiting::key) {
            let before = inner.waiting.iter().filter(|place| place.text.key() == Some(key)).count();
            if before > 0 && before + texts.len() > self.limits.texts - all {
                return Err(Refused::Full);
            }
        }
        inner.place(texts);
        inner.tokens += tokens;
        self.metrics.waiting.set(inner.waiting.len() as i64);
        drop(inner);
        self.nudge();
        Ok(())
    }

    /// Something changed outside the queue that an idle engine waits for.
    pub fn nudge(&self) {
        self.lock().is_news = true;
        self.changed.notify_one();
    }

    /// At most `room` texts to begin. Waits until there is news if there is no text to begin and none to go on with; for a
    /// [`LOOK`] at most where some are under way.
    pub fn next(&self, room: usize, can_go_on: bool, is_idle: bool) -> Next {
        let mut inner = self.lock();
        loop {
            inner.forget_those_left(&self.metrics);
            let begun = inner.waiting.len().min(room);
            match inner.ending {
                Some(Ending::Abort) => return Next::End,
                Some(Ending::Drain) if is_idle && inner.waiting.is_empty() => return Next::End,
                _ if begun > 0 || can_go_on || inner.is_news => {
                    inner.is_news = false;
                    let last = begun.checked_sub(1).and_then(|last| inner.waiting.get(last));
                    inner.turn = last.map_or(inner.turn, |place| place.turn);
                    let texts: Vec<Waiting> = inner.waiting.drain(..begun).map(|place| place.text).collect();
                    inner.tokens -= texts.iter().map(|text| text.task.tokens()).sum::<usize>();
                    self.metrics.waiting.set(inner.waiting.len() as i64);
                    return Next::Work(texts);
                }
                _ if is_idle => inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                _ => {
                    let waited = self.changed.wait_timeout(inner, LOOK).unwrap_or_else(PoisonError::into_inner);
                    inner = waited.0;
                    inner.is_news |= waited.1.timed_out();
                }
            }
        }
    }

    /// Take in nothing more.
    pub fn drain(&self) {
        self.end(Ending::Drain);
    }

    /// Take in nothing more, forget what waits, and end what is under way.
    pub fn abort(&self) {
        self.end(Ending::Abort);
    }

    fn end(&self, how: Ending) {
        let mut inner = self.lock();
        inner.ending = Some(how);
        let lost = if how == Ending::Abort { std::mem::take(&mut inner.waiting) } else { VecDeque::new() };
        drop(inner);
        lost.iter().for_each(|place| self.metrics.left_waiting(place.text.arrived));
        // their readers hear of it
        drop(lost);
        self.nudge();
    }
}

impl Inner {
    /// Let texts of one key wait, each a turn behind the one before it.
    fn place(&mut self, texts: Vec<Waiting>) {
        let key = texts.first().and_then(Waiting::key);
        let last = self.waiting.iter().rev().find(|place| place.text.key() == key);
        let first = last.map_or(self.turn, |place| place.turn) + 1;
        self.waiting.extend((first..).zip(texts).map(|(turn, text)| Place { turn, text }));
        // those of one turn stay in their order
        self.waiting.make_contiguous().sort_by_key(|place| place.turn);
    }

    fn forget_those_left(&mut self, metrics: &ModelMetrics) {
        self.waiting.retain(|place| {
            let is_left = place.text.task.is_left();
            if is_left {
                metrics.left_waiting(place.text.arrived);
            }
            !is_left
        });
        self.tokens = self.waiting.iter().map(|place| place.text.task.tokens()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keys::Key, metrics::Metrics, repository::ONLY};

    const LIMITS: Limits = Limits { texts: 10, tokens: 1000, patience: Duration::from_secs(30) };

    /// Texts of one request, of the key `name` where there is one, and who waits for them.
    fn texts(name: Option<&str>, count: usize) -> (Vec<Waiting>, Vec<oneshot::Receiver<Vec<f32>>>) {
        let account = Arc::new(Account::default());
        name.into_iter().for_each(|name| account.set_key(Key::called(name)));
        let text = |_| {
            let (reply, vector) = oneshot::channel();
            let task = Task::Embed { job: VectorJob { tokens: vec![], dims: 1 }, reply };
            (Waiting { arrived: Instant::now(), task, account: Some(account.clone()) }, vector)
        };
        (0..count).map(text).unzip()
    }

    #[test]
    fn a_key_that_has_texts_waiting_leaves_room_for_others() {
        let metrics = Arc::new(Metrics::new().of_model("stories", ONLY));
        let queue = Queue::new(LIMITS, metrics);
        let mut readers = vec![];
        let mut push = |name: Option<&str>, count: usize| {
            let (texts, vectors) = texts(name, count);
            let pushed = queue.push(texts);
            readers.extend(vectors);
            pushed
        };
        for _ in 0..5 {
            assert_eq!(push(Some("alice"), 1), Ok(()));
        }
        assert_eq!(push(Some("alice"), 1), Err(Refused::Full), "six would be more than the four that are left");
        assert_eq!(push(Some("bob"), 3), Ok(()));
        assert_eq!(push(Some("bob"), 1), Err(Refused::Full));
        assert_eq!(push(Some("carol"), 3), Err(Refused::Full), "there is room for two");
        assert_eq!(push(Some("carol"), 2), Ok(()));
        assert_eq!(push(Some("dave"), 1), Err(Refused::Full));

        // where there are no keys, all is everybody's
        let queue = Queue::new(LIMITS, Arc::new(Metrics::new().of_model("stories", ONLY)));
        let all: Vec<_> = (0..11).map(|_| texts(None, 1)).collect();
        let pushed: Vec<bool> = all
            .into_iter()
            .map(|(texts, vectors)| {
                readers.extend(vectors);
                queue.push(texts).is_ok()
            })
            .collect();
        assert_eq!(pushed, [[true; 10].as_slice(), &[false]].concat());
    }
}
