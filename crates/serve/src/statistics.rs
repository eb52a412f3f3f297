//! What a model did since it was opened, as Triton's statistics tell it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// When what happened to a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub arrived: Instant,
    /// It waits no longer.
    pub begun: Instant,
    /// `None` where it has none.
    pub first_token: Option<Instant>,
    /// `None` as long as it is under way.
    pub ended: Option<Instant>,
}

impl Times {
    /// From arrival to beginning.
    pub fn waiting(&self) -> Duration {
        self.begun - self.arrived
    }

    /// From beginning to the first token: the time of the prompt.
    pub fn reading(&self) -> Duration {
        self.first_token.unwrap_or(self.end()) - self.begun
    }

    /// From the first token to the end.
    pub fn writing(&self) -> Duration {
        self.end() - self.first_token.unwrap_or(self.end())
    }

    /// From arrival to end.
    pub fn whole(&self) -> Duration {
        self.end() - self.arrived
    }

    fn end(&self) -> Instant {
        self.ended.unwrap_or_else(Instant::now)
    }
}

/// How often something was done, and how long that took in all.
#[derive(Debug, Default)]
struct Took {
    count: AtomicU64,
    ns: AtomicU64,
}

/// Counts of one model. Each is exact; read together they may be of neighbouring moments.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    /// Texts that came to an end of their own, from arrival to end.
    success: Took,
    /// Texts whose readers left.
    cancel: Took,
    /// From arrival to beginning.
    queue: Took,
    /// From beginning to the first token: the reading of the prompt.
    read: Took,
    /// From the first token to the end.
    write: Took,
    steps: AtomicU64,
    /// Milliseconds since 1970 of the last end; 0 before the first.
    last_ms: AtomicU64,
}

/// [`Took`], as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    pub count: u64,
    pub ns: u64,
}

/// [`Statistics`], as they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub success: Told,
    pub cancel: Told,
    pub queue: Told,
    pub read: Told,
    pub write: Told,
    pub steps: u64,
    pub last_ms: u64,
}

impl Took {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn told(&self) -> Told {
        Told { count: self.count.load(Relaxed), ns: self.ns.load(Relaxed) }
    }
}

impl Statistics {
    /// A step for all texts under way.
    pub fn step(&self) {
        self.steps.fetch_add(1, Relaxed);
    }

    /// A text has ended; not of its own where its reader left.
    pub fn ended(&self, of_its_own: bool, times: Times) {
        self.queue.add(times.waiting());
        self.read.add(times.reading());
        self.write.add(times.writing());
        if of_its_own { &self.success } else { &self.cancel }.add(times.whole());
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_ms.store(u64::try_from(since_1970.as_millis()).unwrap_or(0), Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            success: self.success.told(),
            cancel: self.cancel.told(),
            queue: self.queue.told(),
            read: self.read.told(),
            write: self.write.told(),
            steps: self.steps.load(Relaxed),
            last_ms: self.last_ms.load(Relaxed),
        }
    }
}
