//! A request from outside to save and stop.

use std::{
    fmt,
    num::NonZeroU8,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Holds the signal that asked to stop; cheap to clone, safe to raise from a signal handler.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicUsize>);

impl StopFlag {
    /// The shared cell, for a signal handler: zero, or the signal's number.
    pub fn cell(&self) -> Arc<AtomicUsize> {
        self.0.clone()
    }

    /// The signal that asked to stop, if one did.
    pub fn signal(&self) -> Option<Signal> {
        Signal::new(self.0.load(Ordering::Relaxed))
    }
}
