//! A request from outside to save and stop.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Holds the number of the signal that asked to stop; cheap to clone, safe to raise from a signal handler.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicUsize>);

impl StopFlag {
    /// The shared cell: zero, or the signal's number.
    pub fn cell(&self) -> Arc<AtomicUsize> {
        self.0.clone()
    }

    /// The signal that asked to stop, if one did.
    pub fn signal(&self) -> Option<usize> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal),
        }
    }
}
