//! What a caller gives and gets: a recipe to carry out, what happens meanwhile, how it ended.

use std::path::Path;

use burn::tensor::Device;
use itera_metrics::Environment;
use itera_trainer::{self as trainer, Resume, StopCause, StopFlag};

use crate::{lesson::TeacherChoice, plan::Plan, report::Report, session::Session, variant::Variant};

/// A plan to carry out.
pub struct Job<'a> {
    /// A recipe and what it is done to.
    pub plan: &'a Plan<'a>,
    /// Held-out documents that every variant is scored on.
    pub documents: &'a [&'a str],
    /// The directory to write.
    pub out: &'a Path,
    /// What to do with what is there.
    pub resume: Resume,
    /// Device without autodiff.
    pub device: &'a Device,
    /// Machine and versions, for the report.
    pub environment: Environment,
    /// Raised from outside to stop after the piece of work under way: a training step, a document, a sequence, a tensor.
    pub stop: StopFlag,
}

impl Job<'_> {
    pub(crate) fn session(&self) -> Session<'_> {
        Session { device: self.device, stop: &self.stop }
    }
}

/// Is told what happens, from one thread at a time.
pub type OnEvent<'a> = dyn FnMut(Event<'_>) + Send + 'a;

/// What happens, for whoever prints it.
pub enum Event<'a> {
    /// A stage begins.
    Stage {
        /// From 1.
        number: usize,
        /// Stages in all.
        total: usize,
        /// What recipes call its action.
        name: &'static str,
        /// Who teaches it, where the recipe names a teacher.
        teacher: Option<&'a TeacherChoice>,
    },
    /// One of several trainings of a stage begins.
    Part {
        /// From 1.
        number: usize,
        /// Trainings in all.
        total: usize,
        /// `generation-1`, `member-2`, `fold-1-of-2`, `fold-1-of-2.member-2`; empty for the stage's own model.
        name: &'a str,
    },
    /// It trains.
    Training(trainer::Event<'a>),
    /// Training is over.
    Trained,
    /// Calibration text is being read.
    Calibrating {
        /// Tokens of it.
        tokens: usize,
    },
    /// The temperature was found at which held-out documents cost least. They are not scored.
    Tempered {
        /// How many they are.
        documents: usize,
        /// What logits are divided by, beside what they were divided by before.
        temperature: f64,
    },
    /// What it costs to change one thing alone was measured.
    Weighing {
        /// What is changed: the `kinds` of matrices, or the `units` that are there.
        what: &'static str,
        /// Such losses measured.
        done: usize,
        /// Losses in all.
        total: usize,
    },
    /// The baseline writes text for a student.
    Sampling {
        /// Bytes written.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A document was scored.
    Scoring {
        /// Documents in all.
        documents: usize,
    },
    /// A model was measured.
    Measured(&'a Variant),
}

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    /// All is done.
    Finished(Box<Report>),
    /// It was asked to stop; [`Resume::Last`] goes on.
    Interrupted(StopCause),
}
