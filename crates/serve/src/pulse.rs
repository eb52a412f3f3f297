//! Whether an engine makes progress, for others to see.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A step that takes longer is a fault: the engine is not ready.
const STUCK: Duration = Duration::from_secs(1);

/// When the step under way began, so that others see whether it ends.
#[derive(Debug)]
pub(crate) struct Pulse {
    origin: Instant,
    /// Microseconds from `origin` to the start of the step, plus one; 0 between steps, [`Pulse::DEAD`] after the last.
    began: AtomicU64,
}

impl Pulse {
    const DEAD: u64 = u64::MAX;

    /// Between steps.
    pub fn new() -> Self {
        Self { origin: Instant::now(), began: AtomicU64::new(0) }
    }

    /// A step begins.
    pub fn begin(&self) {
        self.began.store(self.origin.elapsed().as_micros() as u64 + 1, Ordering::Relaxed);
    }

    /// It has ended.
    pub fn end(&self) {
        self.began.store(0, Ordering::Relaxed);
    }

    /// No step comes any more.
    pub fn stop(&self) {
        self.began.store(Self::DEAD, Ordering::Relaxed);
    }

    /// Whether the step under way, if one is, began not too long ago.
    pub fn is_steady(&self) -> bool {
        match self.began.load(Ordering::Relaxed) {
            0 => true,
            Self::DEAD => false,
            began => self.origin.elapsed() < STUCK + Duration::from_micros(began),
        }
    }
}
