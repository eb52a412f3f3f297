//! Whether an engine makes progress, for others to see.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A part of a turn that takes longer is a fault: the engine is not ready.
const STUCK: Duration = Duration::from_secs(1);

/// When the engine began what it does, so that others see whether it ends.
#[derive(Debug)]
pub(crate) struct Pulse {
    origin: Instant,
    /// Microseconds from `origin` to the last beat, plus one; 0 while the engine waits, [`Pulse::DEAD`] after the last.
    beat: AtomicU64,
}

impl Pulse {
    const DEAD: u64 = u64::MAX;

    /// Of an engine that waits.
    pub fn new() -> Self {
        Self { origin: Instant::now(), beat: AtomicU64::new(0) }
    }

    /// The engine does something, and now something else.
    pub fn beat(&self) {
        self.beat.store(self.origin.elapsed().as_micros() as u64 + 1, Ordering::Relaxed);
    }

    /// It has nothing to do, and waits.
    pub fn rest(&self) {
        self.beat.store(0, Ordering::Relaxed);
    }

    /// It does nothing any more.
    pub fn stop(&self) {
        self.beat.store(Self::DEAD, Ordering::Relaxed);
    }

    /// Whether what the engine does, if it does something, began not too long ago.
    pub fn is_steady(&self) -> bool {
        match self.beat.load(Ordering::Relaxed) {
            0 => true,
            Self::DEAD => false,
            beat => self.origin.elapsed() < STUCK + Duration::from_micros(beat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_stuck_a_second_after_its_last_beat_and_never_while_it_rests() {
        let Some(origin) = Instant::now().checked_sub(Duration::from_millis(2500)) else { return };
        let pulse = Pulse { origin, beat: AtomicU64::new(0) };
        assert!(pulse.is_steady(), "it waits");
        pulse.beat.store(2_000_000, Ordering::Relaxed);
        assert!(pulse.is_steady(), "half a second ago");
        pulse.beat.store(1_000_000, Ordering::Relaxed);
        assert!(!pulse.is_steady(), "one and a half");
        pulse.beat();
        assert!(pulse.is_steady(), "now");
        pulse.beat.store(1_000_000, Ordering::Relaxed);
        pulse.rest();
        assert!(pulse.is_steady(), "nothing is left to do");
        pulse.stop();
        assert!(!pulse.is_steady());
    }
}
