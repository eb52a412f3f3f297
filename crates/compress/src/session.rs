//! The device that a recipe computes on, and the one way in which its work ends early.
//!
//! ```text
//! signal ─▶ StopFlag ─▶ Session::proceed, between two pieces of work ─▶ Abort::Stop ───┐
//! CompressError ───────────────────────────────────────── ? ─▶ Abort::Failure ─────────┴─▶ compress() ─▶ caller
//! ```

use burn::tensor::Device;
use itera_trainer::{StopCause, StopFlag};

use crate::error::CompressError;

/// Where models compute, and what may ask them to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session<'a> {
    /// Device without autodiff.
    pub device: &'a Device,
    /// Raised from outside.
    pub stop: &'a StopFlag,
}

impl Session<'_> {
    /// Go on, unless asked to stop.
    ///
    /// # Errors
    /// [`Abort::Stop`].
    pub(crate) fn proceed(&self) -> Result<(), Abort> {
        self.stop.cause().map_or(Ok(()), |cause| Err(Abort::Stop(cause)))
    }
}

/// Why work ended before it was done.
#[derive(Debug)]
pub(crate) enum Abort {
    /// Somebody asked to stop.
    Stop(StopCause),
    /// Something is wrong.
    Failure(CompressError),
}

impl<E: Into<CompressError>> From<E> for Abort {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}
