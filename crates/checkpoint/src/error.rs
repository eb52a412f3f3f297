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
    #[error("{} is damaged: {reason}{}", path.display(), hint(older))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
        /// An older checkpoint of the run that is whole.
        older: Option<PathBuf>,
    },
    /// The checkpoint was made by another configuration, tokenizer or corpus.
    #[error(
        "{} belongs to another {what}: it was made with {expected}, this run has {found}\nhint: resume with the configuration that made it (config.toml of the run), or start anew in another run.dir",
        path.display()
    )]
    Foreign {
        /// The checkpoint.
        path: PathBuf,
        /// `configuration`, `tokenizer` or `data`.
        what: &'static str,
        /// What the checkpoint says.
        expected: String,
        /// What this run has.
        found: String,
    },
    /// There is nothing to open at a path.
    #[error(
        "{} holds no model: expected a run (with `best` or `last`), or a directory with config.json and model.safetensors",
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

fn hint(older: &Option<PathBuf>) -> String {
    match older {
        Some(older) => format!("\nhint: an older checkpoint is whole: --resume {}", older.display()),
        None => "\nhint: no older checkpoint of this run is whole; start again with --overwrite".into(),
    }
}

/// Adds what was tried, and where, to an I/O error.
pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> CheckpointError {
    let path = path.into();
    move |source| CheckpointError::Io { action, path, source }
}
