//! Why a checkpoint cannot be written, found or trusted.

use std::path::PathBuf;

/// Why a checkpoint cannot be written, found or trusted.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not the one that was written.
    #[error("{} is damaged: {reason}{hint}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
        /// What to do instead, on a line of its own; empty if nobody has looked.
        hint: String,
    },
    /// The checkpoint was made by another configuration, tokenizer or corpus.
    #[error(
        "{} belongs to another {what}: {difference}\nhint: resume with what made it (config.toml of the run), or start anew in another run.dir",
        path.display()
    )]
    Foreign {
        /// The checkpoint.
        path: PathBuf,
        /// `configuration`, `tokenizer` or `corpus`.
        what: &'static str,
        /// What the checkpoint was made with, and what this run has.
        difference: String,
    },
    /// A checkpoint of one run was to continue another.
    #[error(
        "{} is no checkpoint of this run, whose checkpoints are in {}\nhint: set run.dir to the run it belongs to",
        path.display(),
        expected.display()
    )]
    Elsewhere {
        /// The checkpoint.
        path: PathBuf,
        /// Where the checkpoints of the run are.
        expected: PathBuf,
    },
    /// There is nothing to open at a path.
    #[error(
        "{} holds no model: expected a run (with `best` or `last`), a directory with config.json and model.safetensors, or a .gguf file",
        path.display()
    )]
    NotFound {
        /// The path given.
        path: PathBuf,
    },
    /// A Hugging Face directory could not be written or read.
    #[error(transparent)]
    Format(#[from] itera_formats::FormatError),
    /// A tokenizer could not be written or read.
    #[error(transparent)]
    Tokenizer(#[from] itera_tokenizer::TokenizerError),
    /// The weights do not make a model.
    #[error(transparent)]
    Model(#[from] itera_model::ModelError),
}

/// Adds what was tried, and where, to an I/O error.
pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> CheckpointError {
    let path = path.into();
    move |source| CheckpointError::Io { action, path, source }
}
