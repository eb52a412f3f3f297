//! The device that a recipe computes on, and the one way in which its work ends early.
//!
//! ```text
//! signal ─▶ StopFlag ─▶ Session::proceed, between two pieces of work ─▶ Abort::Signal ─┐
//! CompressError ───────────────────────────────────────── ? ─▶ Abort::Failure ─────────┴─▶ compress() ─▶ caller
//! ```

use burn::tensor::Device;
use itera_trainer::{Signal, StopFlag};

use crate::error::CompressError;

/// Where models compute, and what may ask them to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session<'a> {
    /// Device without autodiff.
    pub device: &'a Device,
    /// Raised by a signal.
    pub stop: &'a StopFlag,
}

impl Session<'_> {
    /// Go on, unless a signal asked to stop.
    ///
    /// # Errors
    /// [`Abort::Signal`].
    pub(crate) fn proceed(&self) -> Result<(), Abort> {
        self.stop.signal().map_or(Ok(()), |signal| Err(Abort::Signal(signal)))
    }
}

/// Why work ended before it was done.
#[derive(Debug)]
pub(crate) enum Abort {
    /// A signal asked to stop.
    Signal(Signal),
    /// Something is wrong.
    Failure(CompressError),
}

impl<E: Into<CompressError>> From<E> for Abort {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}
