//! Why a checkpoint cannot be written, found or trusted.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] itera_files::FileError),
    /// A file is not the one that was written.
    #[error("{} is damaged: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        damage: Damage,
        /// The newest other checkpoint of the run that is whole, if there is one and the checkpoint is of a run.
        whole: Option<PathBuf>,
    },
    /// A checkpoint of one run was to continue another.
    #[error("{} is no checkpoint of this run, whose checkpoints are in {}", path.display(), expected.display())]
    Elsewhere {
        /// The checkpoint.
        path: PathBuf,
        /// The directory of the run's checkpoints.
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
    /// A directory was to be written where something else is.
    #[error("{} is no directory", path.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
    },
    /// A directory was to be replaced that holds more than a model.
    #[error("{} holds {}, which is no file of a model", path.display(), entry.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The first such entry, by name.
        entry: PathBuf,
    },
    /// A directory was to be replaced that this process works in.
    #[error("{} is the working directory, or holds it", path.display())]
    WorkingDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A Hugging Face directory could not be written or read.
    #[error(transparent)]
    Format(#[from] itera_formats::FormatError),
    /// A tokenizer could not be written or read.
    #[error(transparent)]
    Tokenizer(#[from] itera_tokenizer::TokenizerError),
}

/// How a file differs from the one that was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It is gone, or the system refuses to read it.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// It is not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Its bytes are others than those that the seal tells of.
    #[error("its sha256 should be {expected}, but its {size_bytes} bytes have {found}")]
    Hash {
        /// What the seal says, in hexadecimal.
        expected: String,
        /// What the bytes have.
        found: itera_files::Sha256Digest,
        /// How many they are.
        size_bytes: u64,
    },
    /// It lacks a tensor that the run needs.
    #[error("it has no `{tensor}` of {len} values")]
    NoTensor {
        /// The tensor.
        tensor: String,
        /// Values that it should have.
        len: usize,
    },
}
