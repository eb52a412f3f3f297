//! What can be wrong with a file.

use std::fmt;
use std::path::PathBuf;

use itera_files::FileError;
use itera_kernels::quant::{Kind, MatrixError};
use itera_shape::InvalidModel;

use crate::{
    printable::printable,
    problem::{GgufProblem, HeaderProblem, PartsProblem},
};

/// What the functions of this crate return.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The header of a safetensors file describes no tensors.
    #[error("{} is no valid safetensors file: {}", printable(path), printable(problem.to_string()))]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: HeaderProblem,
    },
    /// A GGUF file whose header breaks the rules of the format.
    #[error("{} is no valid GGUF file: {field}, at byte {offset}, {problem}", printable(path))]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        field: String,
        /// Where that begins.
        offset: usize,
        /// What is wrong with it.
        problem: GgufProblem,
    },
    /// A model that llama.cpp cannot run.
    #[error("llama.cpp cannot run this model: {0}")]
    NotForLlamaCpp(LlamaCppLimit),
    /// A safetensors file is shorter or longer than its header says: it was cut, or something was appended.
    #[error(
        "{} is {size_bytes} bytes long, but its header describes {expected_bytes}{}",
        printable(path),
        cut_tensor.as_ref().map(|name| format!(": tensor `{}` is cut", printable(name))).unwrap_or_default()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Length that the header describes.
        expected_bytes: usize,
        /// Length that it has.
        size_bytes: usize,
        /// The first tensor that is not whole, if any.
        cut_tensor: Option<String>,
    },
    /// A tensor holds a kind of number that is not read.
    #[error(
        "{}: tensor `{}` is stored as {dtype}; models are run from {supported}",
        printable(path),
        printable(tensor)
    )]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its kind of number, as programs of this format call it.
        dtype: String,
        /// Those that are read, in the same words.
        supported: String,
    },
    /// A compressed tensor whose parts do not fit together.
    #[error("{}: tensor `{}` {problem}", printable(path), printable(tensor))]
    Parts {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong with them.
        problem: PartsProblem,
    },
    /// A tensor has another shape than it should.
    #[error("{}: tensor `{}` has shape {found:?}, expected {expected:?}", printable(path), printable(tensor))]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape that it must have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A head that is tied to the embedding lies beside it with other numbers.
    #[error("{}: tensor `{head}` differs from `{embedding}`, and config.json says that they are tied", printable(path))]
    Untied {
        /// The file of the head.
        path: PathBuf,
        /// The head, by its name in the file.
        head: String,
        /// The embedding, by its name in the file.
        embedding: String,
    },
    /// A weight is NaN or infinite.
    #[error("{}: tensor `{}` holds {value} at index {index}", printable(path), printable(tensor))]
    NotFinite {
        /// The file or directory.
        path: PathBuf,
        /// The tensor, by its name in the file.
        tensor: String,
        /// The number's place among all of the tensor, counted from 0 with the last dimension varying fastest.
        index: usize,
        /// The number.
        value: f32,
    },
    /// A weight is NaN or infinite, or would not be finite as the kind that it is to be written in.
    #[error("tensor `{}` cannot be stored as {}: its number at index {index} is {value}", printable(tensor), kind.name())]
    Unstorable {
        /// The tensor.
        tensor: String,
        /// The number's place among all of the tensor, counted from 0 with the last dimension varying fastest.
        index: usize,
        /// The number.
        value: f32,
        /// The kind that was asked for.
        kind: Kind,
    },
    /// A pointer of Git LFS lies where the file should be.
    #[error(
        "{} is a Git LFS pointer{}, not the file itself",
        printable(path),
        size_bytes.map(|bytes| format!(" to {bytes} bytes")).unwrap_or_default()
    )]
    LfsPointer {
        /// The pointer.
        path: PathBuf,
        /// Bytes of the file that it stands for, if it says.
        size_bytes: Option<u64>,
    },
    /// A tensor cannot be stored as asked.
    #[error("tensor `{}` cannot be stored as asked", printable(tensor))]
    Unpackable {
        /// The tensor.
        tensor: String,
        /// Why.
        source: MatrixError,
    },
    /// The tensors are not those of the model.
    #[error("{}: {}", printable(path), list_of_names(missing, unexpected))]
    Names {
        /// The file.
        path: PathBuf,
        /// Tensors that the configuration demands and the file lacks.
        missing: Vec<String>,
        /// Tensors that the configuration has no place for, or that occur twice.
        unexpected: Vec<String>,
    },
    /// A value in a `config.json` that has no counterpart here.
    #[error("`{}` is {}; supported: {supported}", printable(key), printable(found))]
    Key {
        /// The key.
        key: String,
        /// Its value, shortened, or `absent`.
        found: String,
        /// What it may be.
        supported: String,
    },
    /// A `config.json` whose values contradict each other or are out of range, in the names of our own configuration.
    #[error(transparent)]
    Model(#[from] InvalidModel),
    /// The text is not JSON.
    #[error("it is not valid JSON")]
    Json(#[from] serde_json::Error),
    /// A file was read, but what it says is refused.
    #[error("cannot use {}", printable(path))]
    File {
        /// The file.
        path: PathBuf,
        /// Why it is refused.
        source: Box<FormatError>,
    },
    /// A file is far longer than any of its kind.
    #[error("{} is longer than {max_bytes} bytes, so it is no file of its kind", printable(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The longest that is read.
        max_bytes: u64,
    },
}

/// What llama.cpp stops at, or gets wrong in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlamaCppLimit {
    /// It aborts on a model none of whose layers is attention.
    NoAttention,
    /// It aborts on a model with SSM layers unless `expand` is 2.
    Expand {
        /// The model's.
        expand: usize,
    },
    /// It has room for so many layers.
    Layers {
        /// Layers of the model.
        found: usize,
        /// The most.
        most: usize,
    },
    /// It has room for so many experts in a layer.
    Experts {
        /// Experts of the model.
        found: usize,
        /// The most.
        most: usize,
    },
}

impl fmt::Display for LlamaCppLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAttention => f.write_str("it aborts where no layer is attention"),
            Self::Expand { expand } => write!(f, "it aborts unless model.expand is 2, and here it is {expand}"),
            Self::Layers { found, most } => write!(f, "it has room for {most} layers, and here are {found}"),
            Self::Experts { found, most } => write!(f, "it has room for {most} experts, and here are {found}"),
        }
    }
}

fn list_of_names(missing: &[String], unexpected: &[String]) -> String {
    let part = |what: &str, names: &[String]| match names {
        [] => None,
        [one] => Some(format!("tensor `{}` is {what}", printable(one))),
        [first, ..] => Some(format!("{} tensors are {what}, the first `{}`", names.len(), printable(first))),
    };
    let parts = [part("missing", missing), part("unexpected", unexpected)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
