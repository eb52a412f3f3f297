//! Why a directory cannot be quantised.

use std::path::PathBuf;

use itera_files::FileError;
use itera_formats::{FormatError, printable};

/// What the functions of this crate return.
pub type Result<T, E = PtqError> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PtqError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] FileError),
    /// A file of the source is not what it should be.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The directory has no configuration, which readers of quantised weights need.
    #[error("{} holds no config.json with an object in it", printable(dir))]
    NoConfig {
        /// The directory.
        dir: PathBuf,
    },
    /// The weights are rounded already.
    #[error("{} is quantised already: {said}", printable(dir))]
    Quantized {
        /// The directory.
        dir: PathBuf,
        /// What shows it, a key of its configuration, a file or a tensor.
        said: String,
    },
    /// Several matrices lie in one tensor, and its name does not say how.
    #[error(
        "tensor `{}` has shape {shape:?}: experts in one tensor are taken apart only if it is called gate_up_proj or down_proj",
        printable(tensor)
    )]
    Stacked {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Nothing is left to be packed.
    #[error("none of the {n_tensors} tensors of {} is packed", printable(dir))]
    NothingToPack {
        /// The directory.
        dir: PathBuf,
        /// Its tensors.
        n_tensors: usize,
    },
    /// A pattern that has no meaning.
    #[error("`{pattern}` is no pattern of names")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        source: glob::PatternError,
    },
    /// ModelOpt has such scales only beside those of activations, which need text to be measured on.
    #[error("the layout of ModelOpt has a scale a channel, or those of nvfp4")]
    NoScales,
    /// Scales of FP8 are not searched for.
    #[error("scales are searched for in nvfp4 alone")]
    NoSearch,
    /// There is something where the result is to be written.
    #[error("{} is there already", printable(path))]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// A weight that no scale can hold.
    #[error("{}: tensor `{}` holds {value} at index {index}", printable(path), printable(tensor))]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The number's place, counted from 0 with the last dimension varying fastest.
        index: u64,
        /// The number.
        value: f32,
    },
    /// The work was to stop.
    #[error("stopped before the end; nothing was written")]
    Stopped,
}
