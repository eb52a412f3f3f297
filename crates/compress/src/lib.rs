//! A trained run in, a small file out, and a report of what that cost.
//!
//! ```text
//! run ─▶ Baseline ─┐
//!                  ├─▶ stage ─▶ stage … ─▶ quantize ─▶ files ─▶ runtime ─▶ bits per byte ─▶ Report
//! Recipe ──────────┘   (each a training run, or done at once)
//! ```
//!
//! Every number of a report was measured: sizes are of files on disk, bits per byte are the runtime's on the same
//! documents. What training computes with, the file holds bit for bit: [`Rounder`] makes both.

mod artifact;
mod baseline;
mod error;
mod fisher;
mod inspect;
mod job;
mod method;
mod mixed;
mod page;
mod plan;
mod prune;
mod recipe;
mod report;
mod rounder;
mod sampled;
mod stage;
mod subject;
mod teacher;
mod variant;

pub use artifact::Format;
pub use baseline::Baseline;
pub use error::CompressError;
pub use inspect::{ExpertUse, Histogram, Sensitivity};
pub use job::{Event, Job, OnEvent, Outcome, compress};
pub use mixed::Weighed;
pub use plan::{Plan, PlannedStage};
pub use recipe::{Expectation, Recipe};
pub use report::{Metadata, Report, StageReport, TensorReport};
pub use rounder::{Measure, Rounder};
pub use stage::{
    Budget, Distill, Finetune, Importance, KindName, Mixed, Prune, Quantize, Rounding, Sampled, Stage, TeacherWeight,
    Training,
};
use teacher::Teacher;
pub use variant::Variant;

/// Result of this crate.
pub type Result<T, E = CompressError> = std::result::Result<T, E>;
