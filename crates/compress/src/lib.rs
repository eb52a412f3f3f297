//! A trained run in, a small file out, and a report of what that cost.
//!
//! ```text
//! run ─▶ Baseline ─┐
//!                  ├─▶ Plan: a Step a stage ─▶ run: act, train, pack, write, measure ─▶ artifact, Report
//! Recipe ──────────┘
//! ```
//!
//! Every number of a report was measured: sizes are of files on disk, bits per byte are the runtime's on the same
//! documents. What training computes with, the file holds bit for bit: [`Rounder`] makes both.

mod artifact;
mod baseline;
mod budget;
mod candidate;
mod checks;
mod defaults;
mod design;
mod error;
mod fisher;
mod format;
mod inspect;
mod job;
mod lesson;
mod maturity;
mod measure;
mod method;
mod misfit;
mod mixed;
mod names;
mod out;
mod page;
mod part;
mod plan;
mod prune;
mod recipe;
mod report;
mod rounder;
mod run;
mod sampled;
mod session;
mod stage;
mod steps;
mod teacher;
mod temperature;
mod train;
mod training;
mod variant;

pub use baseline::Baseline;
pub use error::{CompressError, RecipeProblem, Result, StageProblem};
pub use format::Format;
pub use inspect::{ExpertUse, Histogram, Sensitivity};
pub use job::{Event, Job, OnEvent, Outcome};
pub use lesson::TeacherChoice;
pub use maturity::Maturity;
pub use misfit::Misfit;
pub use mixed::KindLosses;
pub use names::require_unicode;
pub use plan::{Plan, PlannedStage};
pub use recipe::{Expectation, Recipe};
pub use report::{Metadata, Report, StageReport, TensorReport, TrainingReport};
pub use rounder::{Measure, Rounder};
pub use run::compress;
pub use stage::{Action, Budget, Calibrate, Distill, Importance, KindName, Mixed, Prune, Quantize, Rounding, Stage};
pub use training::{Sampled, Teaching, Training};
pub use variant::Variant;
