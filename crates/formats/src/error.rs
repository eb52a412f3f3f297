//! What can be wrong with a file, and what to do about it.

use std::path::{Path, PathBuf};

use itera_kernels::quant::MatrixError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The header of a safetensors file describes no tensors.
    #[error("{} is no valid safetensors file: {problem}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A GGUF file whose header breaks the rules of the format.
    #[error("{} is no valid GGUF file: {field}, at byte {offset}, {problem}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        field: String,
        /// Where that begins.
        offset: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A model that llama.cpp cannot run.
    #[error("llama.cpp cannot run this model: {problem}; allow unsupported models to write it all the same")]
    NotForLlamaCpp {
        /// Why.
        problem: String,
    },
    /// A safetensors file is shorter or longer than its header says: it was cut, or something was appended.
    #[error(
        "{} is {size_bytes} bytes long, but its header describes {expected_bytes}{}; restore it from its source",
        path.display(),
        cut_tensor.as_ref().map(|name| format!(": tensor `{name}` is cut")).unwrap_or_default()
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
    #[error("{}: tensor `{tensor}` is stored as {dtype}; F32, F16, BF16 and F8_E4M3 are read", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its kind of number.
        dtype: String,
    },
    /// A compressed tensor whose parts do not fit together.
    #[error("{}: tensor `{tensor}` {problem}", path.display())]
    Parts {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong with them.
        problem: String,
    },
    /// A tensor has another shape than it should.
    #[error("{}: tensor `{tensor}` has shape {found:?}, expected {expected:?}", path.display())]
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
    /// A tensor cannot be stored as asked.
    #[error("tensor `{tensor}`: {problem}")]
    Unpackable {
        /// The tensor.
        tensor: String,
        /// Why.
        problem: MatrixError,
    },
    /// The tensors are not those of the model.
    #[error("{}: {}", path.display(), list_of_names(missing, unexpected))]
    Names {
        /// The file.
        path: PathBuf,
        /// Tensors that the configuration demands and the file lacks.
        missing: Vec<String>,
        /// Tensors that the configuration has no place for, or that occur twice.
        unexpected: Vec<String>,
    },
    /// A value in a `config.json` that has no counterpart here.
    #[error("`{key}` is {found}; supported: {supported}")]
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
    Model(#[from] itera_config::ConfigError),
    /// The text is not JSON.
    #[error("not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file was read, but what it says is refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it is refused.
        source: Box<FormatError>,
    },
    /// A file is far longer than any of its kind.
    #[error("{} is longer than {max_bytes} bytes, so it is no file of its kind", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The longest that is read.
        max_bytes: u64,
    },
}

/// Adds what was tried, and where, to an I/O error.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FormatError {
    move |source| FormatError::Io { action, path: path.to_owned(), source }
}

fn list_of_names(missing: &[String], unexpected: &[String]) -> String {
    let part = |what: &str, names: &[String]| match names {
        [] => None,
        [one] => Some(format!("tensor `{one}` is {what}")),
        [first, ..] => Some(format!("{} tensors are {what}, the first `{first}`", names.len())),
    };
    let parts = [part("missing", missing), part("unexpected", unexpected)];
    format!("{}; the configuration is another model's", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
