//! What an engine wrote of a text, until the web side takes it.
//!
//! ```text
//! engine: Writer ─ push, end ─▶ Outbox ─ take, whole ─▶ Reader: web
//!             ◀─ is_full: pause ──┘  └── dropped: the text ends
//! ```
//!
//! Neither side waits for the other's work: both hold the lock for a copy of some bytes. The first piece is taken at once. What
//! comes behind it is taken in one once a [`TOGETHER`], at the same time as that of all other texts, so that an engine that is fast
//! does not have to share its processor with as many writes as it has tokens.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use itera_runtime::{Completion, TokenLogprob};

use crate::statistics::Times;

/// How long what comes behind a first piece may wait for more: longer than many steps of a small model, and far shorter than
/// anybody sees.
const TOGETHER: Duration = Duration::from_millis(20);

/// How often [`TOGETHER`] has passed.
fn round() -> u128 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos() / TOGETHER.as_nanos()
}

/// Bytes of text, and of what is told of its tokens, that wait for a reader before its text pauses.
pub(crate) const FULL: usize = 16 << 10;

#[derive(Debug, Default)]
struct Outbox {
    text: String,
    logprobs: Vec<TokenLogprob>,
    end: Option<Result<Ended, Lost>>,
    is_ended: bool,
    reader: Option<Waker>,
    is_left: bool,
    /// Since when the reader is far behind.
    full: Option<Instant>,
    /// The round in which the last piece was taken.
    taken: Option<u128>,
}

impl Outbox {
    /// Whether there is something, and it is to be taken now.
    fn is_due(&self) -> bool {
        let is_some = !self.text.is_empty() || !self.logprobs.is_empty();
        let waited = || self.taken.is_none_or(|taken| taken < round());
        self.end.is_some() || is_some && (self.is_full() || waited())
    }

    /// Whether the reader is far behind.
    fn is_full(&self) -> bool {
        let told = |token: &TokenLogprob| size_of::<TokenLogprob>() + size_of_val(&token.top[..]);
        self.text.len() + self.logprobs.iter().map(told).sum::<usize>() >= FULL
    }
}

/// A text that is done.
#[derive(Debug)]
pub(crate) struct Ended {
    pub completion: Completion,
    /// Tokens of the prompt that were not read, since a state that had seen them was there.
    pub cached_tokens: usize,
    pub times: Times,
}

/// Why a text has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The engine ended before it.
    Engine,
    /// No token goes on within its grammar, or it takes too long to find which does.
    Grammar,
    /// Its reader took nothing for too long.
    Stalled,
}

/// What was written since the last piece.
#[derive(Debug)]
pub(crate) struct Piece {
    pub text: String,
    /// Of its tokens, where they were asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// With the last piece, all of it.
    pub end: Option<Result<Ended, Lost>>,
}

/// The engine's side.
#[derive(Debug)]
pub(crate) struct Writer {
    outbox: Arc<Mutex<Outbox>>,
    /// How long a reader that is far behind may take nothing.
    patience: Duration,
}

/// The web's side. To cancel the text, drop it.
pub(crate) struct Reader {
    outbox: Arc<Mutex<Outbox>>,
    /// Tells the engine that there is room again, or that nobody reads.
    wake_engine: Arc<dyn Fn() + Send + Sync>,
}

/// Both sides of an outbox. `wake_engine` is called when a paused text may go on, and when a reader leaves; one that is far behind
/// and takes nothing for as long as `patience` has left too.
pub(crate) fn outbox(wake_engine: Arc<dyn Fn() + Send + Sync>, patience: Duration) -> (Writer, Reader) {
    let outbox = Arc::new(Mutex::new(Outbox::default()));
    (Writer { outbox: outbox.clone(), patience }, Reader { outbox, wake_engine })
}

/// No code panics while it holds the lock.
fn lock(outbox: &Mutex<Outbox>) -> MutexGuard<'_, Outbox> {
    outbox.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// More of the text, if a step has brought any.
    pub fn push(&self, piece: &str, logprobs: Vec<TokenLogprob>) {
        let mut outbox = lock(&self.outbox);
        outbox.text.push_str(piece);
        outbox.logprobs.extend(logprobs);
        if outbox.full.is_none() && outbox.is_full() {
            outbox.full = Some(Instant::now());
        }
        // also where nothing is added to what has waited by now
        if outbox.is_due() {
            wake(outbox);
        }
    }

    /// The text cannot go on.
    pub fn lose(self, why: Lost) {
        self.close(Err(why));
    }

    /// The text is done.
    pub fn end(self, ended: Ended) {
        self.close(Ok(ended));
    }

    fn close(&self, end: Result<Ended, Lost>) {
        let mut outbox = lock(&self.outbox);
        if !outbox.is_ended {
            (outbox.is_ended, outbox.end) = (true, Some(end));
            wake(outbox);
        }
    }

    /// Whether the reader is far behind.
    pub fn is_full(&self) -> bool {
        lock(&self.outbox).full.is_some()
    }

    /// Whether nobody reads any more: the reader has left, or has been far behind for so long that its text holds the place of
    /// another.
    pub fn is_left(&self) -> bool {
        let outbox = lock(&self.outbox);
        outbox.is_left || outbox.full.is_some_and(|since| since.elapsed() > self.patience)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close(Err(Lost::Engine));
    }
}

fn wake(mut outbox: MutexGuard<'_, Outbox>) {
    let reader = outbox.reader.take();
    drop(outbox);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl Reader {
    /// What was written since the last piece, once that is to be taken.
    pub fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        let mut guard = lock(&self.outbox);
        let outbox = &mut *guard;
        if !outbox.is_due() {
            outbox.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        outbox.taken = Some(round());
        let was_full = outbox.full.take().is_some();
        let piece = Piece {
            text: mem::take(&mut outbox.text),
            logprobs: mem::take(&mut outbox.logprobs),
            end: outbox.end.take(),
        };
        drop(guard);
        if was_full {
            (self.wake_engine)();
        }
        Poll::Ready(piece)
    }

    /// The whole text, of a job that is not streamed.
    pub async fn whole(mut self) -> Result<(Ended, Vec<TokenLogprob>), Lost> {
        let mut logprobs = vec![];
        loop {
            let piece = std::future::poll_fn(|context| self.poll_take(context)).await;
            logprobs.extend(piece.logprobs);
            if let Some(end) = piece.end {
                return end.map(|ended| (ended, logprobs));
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut outbox = lock(&self.outbox);
        outbox.is_left = true;
        // the engine knows nothing of a text any more that it has ended, and would be woken for nothing
        let goes_on = !outbox.is_ended;
        drop(outbox);
        if goes_on {
            (self.wake_engine)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
        thread,
    };

    use super::*;

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_first_piece_goes_at_once_and_those_behind_it_together() {
        let (writer, mut reader) = outbox(Arc::new(|| ()), Duration::from_secs(30));
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(woken.clone());
        let mut take = || match reader.poll_take(&mut Context::from_waker(&waker)) {
            Poll::Ready(piece) => Some((piece.text, piece.end.is_some())),
            Poll::Pending => None,
        };
        let count = || woken.0.load(Ordering::Relaxed);
        // the beginning of a round, so that what follows is in it
        let before = round();
        while round() == before {
            thread::yield_now();
        }
        assert_eq!(take(), None);
        writer.push("a", vec![]);
        assert_eq!((count(), take()), (1, Some(("a".into(), false))));
        writer.push("b", vec![]);
        writer.push("c", vec![]);
        assert_eq!((count(), take()), (1, None), "so soon");
        thread::sleep(TOGETHER);
        writer.push("", vec![]);
        assert_eq!((count(), take()), (2, Some(("bc".into(), false))));
        assert_eq!(take(), None);
        writer.push(&"d".repeat(FULL), vec![]);
        assert_eq!((count(), take().map(|(text, _)| text.len())), (3, Some(FULL)), "enough");
        assert_eq!(take(), None);
        writer.push("e", vec![]);
        assert_eq!(take(), None);
        writer.lose(Lost::Engine);
        assert_eq!((count(), take()), (4, Some(("e".into(), true))), "nothing comes behind it");
    }
}
