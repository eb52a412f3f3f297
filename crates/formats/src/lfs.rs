//! A file that Git LFS left undone: a text of three lines that says where the file would be found.

use std::path::Path;

use crate::error::{FormatError, Result};

/// How every pointer begins: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
const BEGINNING: &[u8] = b"version https://git-lfs.github.com/spec/";

/// No pointer is longer.
const MAX_BYTES: usize = 1024;

/// An error if `bytes` are a pointer and not the file that it stands for.
pub(crate) fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_BYTES || !bytes.starts_with(BEGINNING) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(bytes);
    let size_bytes = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
    Err(FormatError::LfsPointer { path: path.to_owned(), size_bytes })
}
