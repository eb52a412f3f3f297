//! Why training stopped short.

use std::path::PathBuf;

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The run directory already holds checkpoints and nobody said what to do with them.
    #[error(
        "{} already holds a run (at step {step})\nhint: continue it with --resume, replace it with --overwrite, or choose another place with --set run.dir=…",
        dir.display()
    )]
    RunExists {
        /// The run directory.
        dir: PathBuf,
        /// Step of its last checkpoint.
        step: u64,
    },
    /// Another process trains in the run directory.
    #[error("another process is training in {}\nhint: wait for it, or choose another place with --set run.dir=…", dir.display())]
    RunBusy {
        /// The run directory.
        dir: PathBuf,
    },
    /// Too many steps in a row had a non-finite loss or gradient, or the run would end with a model that has.
    #[error(
        "at step {step} the loss or its gradient is not finite ({consecutive} steps skipped in a row); the last good checkpoint is {last_good}\nhint: start anew with a lower train.lr, a longer train.warmup_steps or a lower train.grad_clip_norm"
    )]
    NonFinite {
        /// Step at which the run gave up.
        step: u64,
        /// Steps in a row.
        consecutive: u64,
        /// Path of the last good checkpoint, or that there is none.
        last_good: String,
    },
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] itera_checkpoint::CheckpointError),
    /// A metrics file could not be written.
    #[error(transparent)]
    Metrics(#[from] itera_metrics::MetricsError),
    /// The run directory could not be made.
    #[error("cannot create the run directory {}: {source}\nhint: choose another place with --set run.dir=…", path.display())]
    RunDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The weights to begin with are not those of the configuration.
    #[error("the weights to begin with are another model's: {0}")]
    Initial(#[from] itera_model::ModelError),
    /// A configured prompt could not be continued.
    #[error("cannot continue the prompt {prompt:?} of eval.prompts: {source}")]
    Sample {
        /// The prompt.
        prompt: String,
        /// Why.
        source: Box<itera_runtime::RuntimeError>,
    },
    /// Another file of the run could not be written.
    #[error(transparent)]
    Write(#[from] itera_formats::FormatError),
}
