//! A request from outside to save and stop.

use std::{
    fmt,
    num::NonZeroU8,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

/// The number of a signal, such as 2 for SIGINT and 15 for SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(NonZeroU8);

impl Signal {
    /// A signal by its number; systems count them from 1, and none has as many as 128.
    pub fn new(number: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number < 128).and_then(NonZeroU8::new).map(Self)
    }

    /// The number.
    pub fn number(self) -> u8 {
        self.0.get()
    }
}

/// What asks a run to save and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// A signal.
    Signal(Signal),
    /// The time that the run may take is over.
    TimeOver,
}

impl StopCause {
    /// What stands for the end of time, among numbers of signals.
    const TIME_OVER: u8 = 128;

    /// How ranks tell each other; 0 is no cause.
    pub(crate) fn to_byte(cause: Option<Self>) -> u8 {
        match cause {
            None => 0,
            Some(Self::Signal(signal)) => signal.number(),
            Some(Self::TimeOver) => Self::TIME_OVER,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            Self::TIME_OVER => Some(Self::TimeOver),
            number => Signal::new(number.into()).map(Self::Signal),
        }
    }
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "signal {}", signal.number()),
            Self::TimeOver => f.write_str("the end of its time"),
        }
    }
}

/// Holds the signal that asked to stop, and when to stop without one; cheap to clone, safe to raise from a signal handler.
#[derive(Clone, Debug, Default)]
pub struct StopFlag {
    signal: Arc<AtomicUsize>,
    end: Option<SystemTime>,
}

impl StopFlag {
    /// One that asks to stop from `end` on too, by the clock of the system.
    #[must_use]
    pub fn with_end(self, end: SystemTime) -> Self {
        Self { end: Some(end), ..self }
    }

    /// The shared cell, for a signal handler: zero, or the signal's number.
    pub fn cell(&self) -> Arc<AtomicUsize> {
        self.signal.clone()
    }

    /// What asks to stop, if something does by now.
    pub fn cause(&self) -> Option<StopCause> {
        let signal = Signal::new(self.signal.load(Ordering::Relaxed)).map(StopCause::Signal);
        signal.or_else(|| self.end.filter(|end| *end <= SystemTime::now()).map(|_| StopCause::TimeOver))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_that_is_over_asks_to_stop_as_a_signal_does() {
        let now = SystemTime::now();
        let hour = Duration::from_secs(3600);
        assert_eq!(StopFlag::default().with_end(now + hour).cause(), None);
        let over = StopFlag::default().with_end(now - hour);
        assert_eq!(over.cause(), Some(StopCause::TimeOver));
        over.cell().store(15, Ordering::Relaxed);
        assert_eq!(over.cause(), Signal::new(15).map(StopCause::Signal), "what was sent goes first");
    }

    #[test]
    fn a_cause_comes_as_it_was_told() {
        let signals = (1..128).map(|number| Signal::new(number).map(StopCause::Signal));
        for cause in signals.chain([None, Some(StopCause::TimeOver)]) {
            assert_eq!(StopCause::from_byte(StopCause::to_byte(cause)), cause);
        }
    }
}
