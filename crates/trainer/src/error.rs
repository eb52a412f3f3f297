//! Why training stopped short.

use std::path::PathBuf;

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The run directory already holds checkpoints and nobody said what to do with them.
    #[error(
        "{} already holds a run (at step {step})",
        dir.display()
    )]
    RunExists {
        /// The run directory.
        dir: PathBuf,
        /// Step of its last checkpoint.
        step: u64,
    },
    /// Another process trains in the run directory.
    #[error("another process is training in {}", dir.display())]
    RunBusy {
        /// The run directory.
        dir: PathBuf,
    },
    /// The checkpoint to resume from was made by another configuration, tokenizer, corpus or method.
    #[error("{} belongs to another {what}: {difference}", path.display())]
    Foreign {
        /// The checkpoint.
        path: PathBuf,
        /// `configuration`, `tokenizer`, `corpus` or `method`.
        what: &'static str,
        /// Both sides: of the checkpoint, and of this run.
        difference: String,
    },
    /// What the checkpoint to resume from has behind it would have had other learning rates, or inputs.
    #[error("{} is at step {step}, and {changes} changes the learning rate or the inputs from step {from_step} on", path.display())]
    PastRates {
        /// The checkpoint.
        path: PathBuf,
        /// Its completed steps.
        step: u64,
        /// What has changed in the configuration, key by key.
        changes: String,
        /// Completed steps that are the same.
        from_step: u64,
        /// The newest checkpoint of the run up to there, if there is one.
        before: Option<PathBuf>,
    },
    /// A file that a run would replace is there, and is not a run's.
    #[error("{} is there and belongs to no run", path.display())]
    NotOfARun {
        /// The file.
        path: PathBuf,
    },
    /// The model that a run is to begin with is not the one that is configured.
    #[error("{} cannot begin this run: its {what} is {there}, and {here} is configured", path.display())]
    Misfit {
        /// The model.
        path: PathBuf,
        /// In what it differs: a tensor, or the tokenizer.
        what: String,
        /// Of the model.
        there: String,
        /// Of the run.
        here: String,
    },
    /// A configured prompt does not fit the model's context.
    #[error("the prompt {prompt:?} has {n_tokens} tokens; the model's longest context is {max_seq_len}")]
    LongPrompt {
        /// The prompt.
        prompt: String,
        /// Its tokens, bos included.
        n_tokens: usize,
        /// The longest context.
        max_seq_len: usize,
    },
    /// Too many steps in a row had a non-finite loss or gradient, or the run would end with a model that has.
    #[error(
        "at step {step} the loss or its gradient is not finite ({consecutive} steps skipped in a row); the last good checkpoint is {}", last_good.as_ref().map_or("none".into(), |path| path.display().to_string())
    )]
    NonFinite {
        /// Step at which the run gave up.
        step: u64,
        /// Steps in a row.
        consecutive: u64,
        /// The last good checkpoint, if there is one.
        last_good: Option<PathBuf>,
    },
    /// A rank would train something else than rank 0. All ranks find this, and the same.
    #[error("rank {rank} has another {what} than rank 0: {difference}")]
    RankDiffers {
        /// The first rank that differs.
        rank: usize,
        /// In what: program, configuration, tokenizer, corpus, method, first step or weights to begin with.
        what: &'static str,
        /// Both sides: of rank 0, and of that rank.
        difference: String,
    },
    /// The device could not compute a step or a validation.
    #[error("the device cannot go on")]
    Device(#[from] itera_ops::device::DeviceError),
    /// The processes of the run lost each other.
    #[error("the processes of the run cannot go on together")]
    World(#[from] itera_collective::MpiError),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] itera_checkpoint::CheckpointError),
    /// A metrics file could not be written.
    #[error(transparent)]
    Metrics(#[from] itera_metrics::MetricsError),
    /// The run directory could not be made or locked.
    #[error("cannot write to the run directory {}", path.display())]
    RunDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The weights to begin with are not those of the configuration.
    #[error("the weights to begin with are another model's")]
    Initial(#[from] itera_model::ModelError),
    /// A configured prompt could not be continued.
    #[error("cannot continue the prompt {prompt:?}")]
    Sample {
        /// The prompt.
        prompt: String,
        /// Why.
        source: Box<itera_runtime::RuntimeError>,
    },
    /// Another file of the run could not be written.
    #[error(transparent)]
    Io(#[from] itera_files::FileError),
}
