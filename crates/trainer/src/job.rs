//! What a run is given, what it tells while it runs, and how it ends.

use std::{
    io,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use itera_checkpoint::{CheckpointError, CheckpointStore};
use itera_collective::World;
use itera_config::Config;
use itera_data::Dataset;
use itera_metrics::{Sample, StepRecord};
use itera_runtime::Score;
use itera_shape::NamedTensor;

use crate::{
    error::TrainError,
    method::{Method, Plain},
    pace::Slow,
    state::TrainingState,
    stop::{StopCause, StopFlag},
};

/// What to do with checkpoints that the run directory already holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Refuse to start over them.
    No,
    /// Remove them and start anew.
    Overwrite,
    /// Continue from the last one, or the last that is whole; start at step 0 if there is none.
    Last,
    /// Continue from this one.
    From(PathBuf),
}

impl Resume {
    /// Whether a run in `dir` may start so, before anything costly is done for it.
    ///
    /// # Errors
    /// [`TrainError::RunExists`] if it would start over checkpoints, [`TrainError::RunDir`] if the directory cannot be
    /// written.
    pub fn check(&self, dir: &Path) -> Result<(), TrainError> {
        let there = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        expect_writable(there).map_err(|source| TrainError::RunDir { path: dir.into(), source })?;
        match (self, CheckpointStore::new(dir).last()?) {
            (Self::No, Some(last)) => Err(TrainError::RunExists { dir: dir.into(), step: last.step }),
            _ => Ok(()),
        }
    }
}

/// Whether entries can be made in the directory `path`, as far as the system tells without one being made.
fn expect_writable(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    #[cfg(unix)]
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?;
    Ok(())
}

/// All that a run needs; [`Job::new`] for one that is plain and new.
#[derive(Clone)]
pub struct Job<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Tokenised data.
    pub data: &'a Dataset,
    /// Device without autodiff.
    pub device: &'a Device,
    /// What to do with earlier checkpoints.
    pub resume: Resume,
    /// Raised from outside to save and stop after the step under way.
    pub stop: StopFlag,
    /// How it learns.
    pub method: &'a dyn Method,
    /// The processes that share the micro-batches of each step. Rank 0 alone writes the files of the run; the others read its
    /// checkpoints. `None` for this process alone.
    pub world: Option<&'a World>,
    /// Weights to begin with, in the order of the tensor table; fresh ones without.
    pub initial: Option<&'a [NamedTensor]>,
}

impl<'a> Job<'a> {
    /// Train fresh weights on cross-entropy, over nothing that is there, until the end.
    pub fn new(config: &'a Config, data: &'a Dataset, device: &'a Device) -> Self {
        let (resume, stop) = (Resume::No, StopFlag::default());
        Self { config, data, device, resume, stop, method: &Plain, world: None, initial: None }
    }
}

/// What happens during a run, for whoever prints it.
#[derive(Debug)]
pub enum Event<'a> {
    /// The run starts at this step of so many.
    Started {
        /// Completed steps.
        step: u64,
        /// Steps in all.
        steps: u64,
    },
    /// A step is done; `record` if it wrote a metrics row.
    Step {
        /// Completed steps.
        step: u64,
        /// Cross-entropy of this step in nats.
        loss_nats: f64,
        /// The metrics row, if one was written.
        record: Option<&'a StepRecord>,
    },
    /// The update of this step was skipped.
    Skipped {
        /// The step.
        step: u64,
        /// Skipped in a row; 0 where a smaller loss scale may mend it.
        consecutive: u64,
        /// That of the next step, in f16.
        loss_scale: Option<f64>,
    },
    /// A validation is done.
    Validated {
        /// Completed steps.
        step: u64,
        /// What the held-out text costs.
        score: Score,
        /// Whether it is the best so far.
        best: bool,
        /// Continuations of the configured prompts.
        samples: &'a [Sample],
    },
    /// The prompts could not be continued at a validation.
    NoSamples {
        /// Completed steps.
        step: u64,
        /// Why not.
        error: &'a TrainError,
    },
    /// The file system has no locks: nothing keeps another process from training in the run directory.
    Unlocked {
        /// The run directory.
        dir: &'a Path,
        /// What the system said.
        reason: &'a std::io::Error,
    },
    /// The newest checkpoint is damaged: the run goes on from the newest that is whole.
    PassedOver {
        /// [`CheckpointError::Damaged`], which names that one too.
        error: &'a CheckpointError,
    },
    /// One of several processes takes longer than the others, which wait for it.
    Slow {
        /// Completed steps.
        step: u64,
        /// Which, and how much longer.
        slow: Slow,
    },
    /// A checkpoint was published here.
    Saved {
        /// Its directory.
        path: &'a Path,
    },
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All steps are done.
    Finished,
    /// Validation stopped improving.
    EarlyStopped,
    /// It was asked to stop before its end, and can be resumed.
    Interrupted(StopCause),
}

/// A run after its last step. Its model and state are saved.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it ended.
    pub end: RunEnd,
    /// Its state.
    pub state: TrainingState,
}
