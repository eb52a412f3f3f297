//! What the system refused, and where.

use std::{
    io,
    path::{Path, PathBuf},
};

/// An operation on a file or directory that the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// A verb that takes the path as its object: `read`, `write`, `create`, `sync`, `remove` …
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The answer of the system.
    pub source: io::Error,
}

/// For `map_err`: says what was tried, and where.
///
/// ```
/// use itera_files::failed_to;
///
/// let path = std::path::Path::new("no/such/file");
/// let error = std::fs::read(path).map_err(failed_to("read", path)).expect_err("there is none");
/// assert_eq!(error.to_string(), "cannot read no/such/file");
/// ```
pub fn failed_to(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError { action, path: path.as_ref().to_owned(), source }
}
