//! Pointers of Git LFS where the file of a model should be.

use std::path::Path;

use itera_files::is_lfs_pointer;

use crate::error::{FormatError, Result};

/// No pointer is longer.
const MAX_BYTES: usize = 1024;

/// An error if `bytes` are a pointer and not the file that it stands for.
pub(crate) fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_BYTES || !is_lfs_pointer(bytes) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(bytes);
    let size_bytes = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
    Err(FormatError::LfsPointer { path: path.to_owned(), size_bytes })
}
